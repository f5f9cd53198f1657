# Journeys on a real cluster (docs/testing.md): the one of CLUSTER_DIR if it is
# up, else one for as long as they take; with CLUSTER=existing that of KUBECONFIG.

# Specs that run at a time. Most of their time is waiting.
E2E_PROCS ?= 6
# What to run, in the words of ginkgo: E2E_FLAGS='--focus=deadlocked' or
# E2E_FLAGS='--label-filter=!node'.
E2E_FLAGS ?=

.PHONY: test-e2e
test-e2e: cluster-bin $(BIN)/ginkgo ## Test whole journeys on a real cluster.
	@$(CLUSTER_BIN) run -- $(MAKE) --no-print-directory e2e-deploy e2e-prometheus e2e-journeys

# The operator under test, the workloads that the journeys are about, and the
# servers that people run, as Debian packages them.
.PHONY: e2e-deploy
e2e-deploy:
	@$(MAKE) --no-print-directory deploy PLATFORMS=linux/$$(go env GOARCH)
	@$(MAKE) --no-print-directory image PLATFORMS=linux/$$(go env GOARCH) IMAGES=drain-examples
	@go run ./hack/image/cmd -spec test/servers/images.json -platforms linux/$$(go env GOARCH)
	@$(MAKE) --no-print-directory cluster-load ARCHIVE="dist/drain-examples.tar dist/drain-servers.tar"

# Debian's Prometheus, which journeys of the latency ask.
.PHONY: e2e-prometheus
e2e-prometheus: cluster-bin
	@go run ./hack/image/cmd -spec test/e2e/prometheus/images.json -platforms linux/$$(go env GOARCH)
	@$(MAKE) --no-print-directory cluster-load ARCHIVE=dist/prometheus.tar

.PHONY: e2e-journeys
e2e-journeys: cluster-bin $(BIN)/ginkgo
	@mkdir -p reports
	E2E_IMAGES=$(CURDIR)/dist/images.json CLUSTER_COMMAND=$(CURDIR)/$(CLUSTER_BIN) \
	  $(BIN)/ginkgo run --procs=$(E2E_PROCS) --timeout=30m --keep-going --output-dir=reports --junit-report=e2e.xml $(E2E_FLAGS) ./test/e2e
