
## Chart

CHART := charts/drain-operator
# What config/ and the chart share: all rules but the bindings.
CHART_RBAC = $(filter-out %/kustomization.yaml %/role_binding.yaml %/service_account.yaml,$(wildcard config/rbac/*.yaml))

.PHONY: generate-chart
generate-chart:
	rm -rf $(CHART)/files
	mkdir -p $(CHART)/files/crd $(CHART)/files/rbac
	cp config/crd/drain-operator.dev_*.yaml $(CHART)/files/crd/
	cp $(CHART_RBAC) $(CHART)/files/rbac/

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

.PHONY: test-lifecycle
test-lifecycle: cluster-bin $(BIN)/ginkgo ## Install, upgrade, roll back and uninstall with helm on a real cluster that has no operator.
	@$(CLUSTER_BIN) run -- $(MAKE) --no-print-directory lifecycle-on-cluster

# Not part of make test: building cert-manager takes some minutes once.
.PHONY: test-cert-manager
test-cert-manager: cluster-bin $(BIN)/ginkgo ## Install with a certificate of cert-manager's on a real cluster; before a release.
	@cd hack/cert-manager && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w" -o $(BIN)/cert-manager .
	@CERT_MANAGER=$(BIN)/cert-manager $(CLUSTER_BIN) run -- $(MAKE) --no-print-directory lifecycle-on-cluster LIFECYCLE_FLAGS=--label-filter=cert-manager

# What else ginkgo is told.
LIFECYCLE_FLAGS ?= --label-filter=!cert-manager

# What make test-lifecycle runs once a cluster is there; KUBECONFIG names it.
.PHONY: lifecycle-on-cluster
lifecycle-on-cluster: deploy-build e2e-workloads lifecycle-apply lifecycle-run

.PHONY: lifecycle-apply
lifecycle-apply:
	@$(MAKE) --no-print-directory cluster-load ARCHIVE="dist/drain-operator.tar dist/drain-agent.tar dist/drain-examples.tar"

.PHONY: lifecycle-run
lifecycle-run: $(addprefix $(BIN)/,helm ginkgo)
	@mkdir -p reports
	HELM=$(BIN)/helm E2E_IMAGES=$(CURDIR)/dist/images.json \
	  $(BIN)/ginkgo run -v --timeout=20m --output-dir=reports --junit-report=lifecycle.xml $(LIFECYCLE_FLAGS) ./test/lifecycle
