
## Test

# Packages whose tests need helm, an API server or a cluster run in targets of their own.
UNIT_PACKAGES = $(shell go list ./... | grep -v -E '/test/(chart|integration/.*|e2e|lifecycle)$$|/examples/envtest$$')

.PHONY: test
test: test-unit test-chart test-integration test-cluster test-e2e test-lifecycle ## Run everything: unit tests, the chart, a real API server, a real cluster.

.PHONY: test-unit
test-unit: ## Test what needs neither an API server nor a cluster.
	go test $(UNIT_PACKAGES)

.PHONY: test-integration
test-integration: cluster-bin $(BIN)/helm ## Test API, webhook and controllers against a real API server.
	KUBEBUILDER_ASSETS="$${KUBEBUILDER_ASSETS:-$$($(CLUSTER_BIN) assets)}" \
	  HELM=$(BIN)/helm go test -timeout 20m ./test/integration/... ./examples/envtest
