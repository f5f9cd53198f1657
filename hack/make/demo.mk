# The demo: what a rollout drops without a DrainPolicy, and with one.

# More flags of test/demo/cmd/demo, such as DEMO_FLAGS="-treatments none,policy -restarts 1".
DEMO_FLAGS ?=

.PHONY: demo
demo: ## Show on real pods what a rollout drops with and without a DrainPolicy (reports/demo.html)
	@$(MAKE) --no-print-directory cluster-bin
	@$(MAKE) --no-print-directory image PLATFORMS=linux/$$(go env GOARCH)
	@go build -o bin/demo ./test/demo/cmd/demo
	@$(CLUSTER_BIN) run -- $(MAKE) --no-print-directory demo-on-cluster

# What make demo runs once a cluster is there; KUBECONFIG names it.
.PHONY: demo-on-cluster
demo-on-cluster:
	@$(MAKE) --no-print-directory deploy
	@bin/demo $(DEMO_FLAGS)
