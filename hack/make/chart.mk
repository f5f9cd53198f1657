
## Chart

CHART := charts/drain-operator
# What config/ and the chart share, made by `make generate`.
CHART_GENERATED := config/crd/drain-operator.dev_drainpolicies.yaml \
  $(addprefix config/rbac/,role.yaml policy_roles.yaml metrics_reader.yaml)

.PHONY: chart
chart: $(BIN)/helm ## Package the chart for the images that image has built, or image-push has pushed last.
	@go run ./hack/deploy
	$(BIN)/helm package --destination dist dist/chart/drain-operator

.PHONY: test-chart
test-chart: $(addprefix $(BIN)/,helm helm-unittest kustomize) ## Lint the chart, test its templates, compare it with config/.
	@for values in $(CHART)/ci/*.yaml; do \
	  $(BIN)/helm lint --strict --quiet -f $$values $(CHART) || exit 1; done
	$(BIN)/helm-unittest --strict $(CHART)
	HELM=$(BIN)/helm KUSTOMIZE=$(BIN)/kustomize go test ./test/chart/...
