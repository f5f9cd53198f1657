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

# The same and test-lifecycle, in less time: journeys that share a cluster keep
# two cores busy; those that need one to themselves mostly wait. They and the life
# of a release run at the same time, on three clusters.
.PHONY: test-on-clusters
ifeq ($(CLUSTER),existing)
test-on-clusters: test-e2e test-lifecycle
else
test-on-clusters: cluster-bin kubernetes $(addprefix $(BIN)/,ginkgo helm)
	@$(MAKE) --no-print-directory e2e-build e2e-suite
	@$(MAKE) --no-print-directory shared-journeys
	@$(MAKE) --no-print-directory -j3 node-journeys operator-journeys lifecycle
endif

# Lone journeys are halved by who needs the cluster's node: no more than a way
# to two halves that take the same time.
.PHONY: shared-journeys node-journeys operator-journeys lifecycle
shared-journeys: on-cluster = e2e-apply e2e-run E2E_REPORT=e2e E2E_FLAGS='--label-filter=!alone'
node-journeys: on-cluster = e2e-apply e2e-run E2E_REPORT=e2e-node E2E_FLAGS="--label-filter='alone && node'" E2E_PROCS=1
operator-journeys: on-cluster = e2e-apply e2e-run E2E_REPORT=e2e-operator E2E_FLAGS="--label-filter='alone && !node'" E2E_PROCS=1
lifecycle: on-cluster = lifecycle-apply lifecycle-run
shared-journeys node-journeys operator-journeys lifecycle:
	@# No pipe: what ends make is to end the cluster, too.
	@CLUSTER_DIR=$(CURDIR)/.cluster-$@ exec $(CLUSTER_BIN) run -- $(MAKE) -j1 --no-print-directory $(on-cluster) > >(sed -u 's/^/$@: /') 2>&1

# The operator under test, the workloads that the journeys are about, and the
# servers that people run, as Debian packages them.
.PHONY: e2e-deploy
e2e-deploy: deploy-build e2e-workloads deploy-apply
	@$(MAKE) --no-print-directory cluster-load ARCHIVE="dist/drain-examples.tar dist/drain-servers.tar"

.PHONY: e2e-workloads
e2e-workloads:
	@$(MAKE) --no-print-directory image PLATFORMS=$(NODE_PLATFORMS) IMAGES=drain-examples
	@$(MAKE) --no-print-directory image-existing IMAGES=drain-examples
	@go run ./hack/image/cmd -spec test/servers/images.json -platforms $(NODE_PLATFORMS)
	@$(MAKE) --no-print-directory image-existing IMAGE_SPEC=test/servers/images.json

# Debian's Prometheus, which journeys of the latency ask.
.PHONY: e2e-prometheus
e2e-prometheus: cluster-bin prometheus-image
	@$(MAKE) --no-print-directory cluster-load ARCHIVE=dist/prometheus.tar

.PHONY: prometheus-image
prometheus-image:
	@go run ./hack/image/cmd -spec test/e2e/prometheus/images.json -platforms $(NODE_PLATFORMS)
	@$(MAKE) --no-print-directory image-existing IMAGE_SPEC=test/e2e/prometheus/images.json

# All that the journeys need, for any number of clusters; and on one of them.
.PHONY: e2e-build e2e-apply
e2e-build: deploy-build e2e-workloads prometheus-image
e2e-apply: deploy-apply
	@$(MAKE) --no-print-directory cluster-load ARCHIVE="dist/drain-examples.tar dist/drain-servers.tar dist/prometheus.tar"

# The name of the report in reports/.
E2E_REPORT ?= e2e

.PHONY: e2e-journeys
e2e-journeys: e2e-suite e2e-run

.PHONY: e2e-suite
e2e-suite: $(BIN)/ginkgo
	@$(BIN)/ginkgo build ./test/e2e

.PHONY: e2e-run
e2e-run: cluster-bin
	@mkdir -p reports
	E2E_IMAGES=$(CURDIR)/dist/images.json CLUSTER_COMMAND=$(CURDIR)/$(CLUSTER_BIN) \
	  $(BIN)/ginkgo run --procs=$(E2E_PROCS) --timeout=30m --keep-going --output-dir=reports --junit-report=$(E2E_REPORT).xml $(E2E_FLAGS) ./test/e2e/e2e.test
