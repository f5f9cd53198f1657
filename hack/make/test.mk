
## Test

# Packages whose tests need an API server or a cluster run in targets of their own.
UNIT_PACKAGES = $(shell go list ./... | grep -v -E '/test/(integration/.*|e2e)$$|/examples/envtest$$')

.PHONY: test
test: test-unit test-integration test-cluster test-e2e ## Run everything: unit tests, a real API server, a real cluster.

.PHONY: test-unit
test-unit: ## Test what needs neither an API server nor a cluster.
	go test $(UNIT_PACKAGES)

.PHONY: test-integration
test-integration: cluster-bin ## Test API, webhook and controllers against a real API server.
	KUBEBUILDER_ASSETS="$${KUBEBUILDER_ASSETS:-$$($(CLUSTER_BIN) assets)}" \
	  go test -timeout 20m ./test/integration/... ./examples/envtest
