
## Test

# Packages whose tests need helm, an API server or a cluster run in targets of their own.
UNIT_PACKAGES = $(shell go list ./... | grep -v -E '/test/(chart|integration/.*|e2e|lifecycle)$$|/examples/envtest$$')

.PHONY: test
test: ## Run everything: unit tests, the chart, a real API server, a real cluster.
	@# Of each pair at least one mostly waits.
	@$(MAKE) --no-print-directory -j2 test-unit packages-with-programs
	@$(MAKE) --no-print-directory -j2 webhook-suite test-cluster
	@$(MAKE) --no-print-directory test-on-clusters

.PHONY: packages-with-programs
packages-with-programs: test-chart
	@$(MAKE) --no-print-directory integration-packages

.PHONY: test-unit
test-unit: ## Test what needs neither an API server nor a cluster.
	@# Some of the longest wait.
	go test -p 4 $(UNIT_PACKAGES)

# The suite of the webhook mostly waits: it runs in several processes, each with
# an API server of its own.
WEBHOOK_PROCS ?= 3
INTEGRATION_PACKAGES = $(shell go list ./test/integration/... ./examples/envtest | grep -v /test/integration/webhook$$)
INTEGRATION_ENV = HELM=$(BIN)/helm KUBEBUILDER_ASSETS="$${KUBEBUILDER_ASSETS:-$$($(CLUSTER_BIN) assets)}"

.PHONY: test-integration
test-integration: integration-packages webhook-suite ## Test API, webhook and controllers against a real API server.

.PHONY: integration-packages
integration-packages: cluster-bin $(BIN)/helm
	$(INTEGRATION_ENV) go test -timeout 20m $(INTEGRATION_PACKAGES)

.PHONY: webhook-suite
webhook-suite: cluster-bin $(addprefix $(BIN)/,helm ginkgo)
	@mkdir -p reports
	$(INTEGRATION_ENV) $(BIN)/ginkgo run --procs=$(WEBHOOK_PROCS) --timeout=20m --keep-going --output-dir=reports --junit-report=webhook.xml ./test/integration/webhook
