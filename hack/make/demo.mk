## Demo

# More flags of test/demo/cmd/demo, such as DEMO_FLAGS="-treatments none,policy -restarts 1",
# or DEMO_FLAGS="-chapters grace".
DEMO_FLAGS ?=

.PHONY: demo
demo: cluster-bin ## Show on real pods what rollouts drop with and without a DrainPolicy, and what a grace costs (reports/demo.html).
	@go build -o bin/demo ./test/demo/cmd/demo
	@$(CLUSTER_BIN) run -- $(MAKE) --no-print-directory demo-on-cluster

# What make demo runs once a cluster is there; KUBECONFIG names it. The operator
# looks at latencies more often than it would: a demo is short.
.PHONY: demo-on-cluster
demo-on-cluster: OPERATOR_ARGS += --latency-period=5s
demo-on-cluster: deploy
	@$(MAKE) --no-print-directory image IMAGES=drain-examples PLATFORMS=$(NODE_PLATFORMS)
	@$(MAKE) --no-print-directory image-existing IMAGES=drain-examples
	@$(MAKE) --no-print-directory cluster-load ARCHIVE=dist/drain-examples.tar
	@PATH="$$PATH:$$($(CLUSTER_BIN) bin)" bin/demo $(DEMO_FLAGS)
