
## Install

# The cluster of KUBECONFIG, or else the one that `make cluster-up` brought up.
DEPLOY_KUBECONFIG = $(or $(KUBECONFIG),$(CURDIR)/.cluster/kubeconfig)
# kubectl comes with the cluster's binaries where there is none.
KUBECTL = PATH="$$PATH:$$($(CLUSTER_BIN) bin)" KUBECONFIG=$(DEPLOY_KUBECONFIG) kubectl
# Further flags of the operator: make deploy OPERATOR_ARGS="--agent-delivery=InitContainer"
OPERATOR_ARGS ?=

.PHONY: deploy
deploy: deploy-build deploy-apply ## Build the images, load them and install the operator into the current cluster.

# The images, and dist/deploy and dist/chart that name them: for any number of clusters.
.PHONY: deploy-build
deploy-build: cluster-bin
	@$(MAKE) --no-print-directory image IMAGES="drain-operator drain-agent" PLATFORMS=$(NODE_PLATFORMS)
	@$(MAKE) --no-print-directory image-existing IMAGES="drain-operator drain-agent"
	@go run ./hack/deploy -args "$(OPERATOR_ARGS)"

.PHONY: deploy-apply
deploy-apply: cluster-bin
	@$(MAKE) --no-print-directory cluster-load ARCHIVE="dist/drain-operator.tar dist/drain-agent.tar"
	$(KUBECTL) apply --server-side --force-conflicts -k dist/deploy
	$(KUBECTL) -n drain-operator-system rollout status deployment/drain-operator --timeout=180s

.PHONY: undeploy
undeploy: cluster-bin ## Remove the operator, all DrainPolicies and their CRD. Injected pods go on as they are.
	@# No pod may be left out of rotation by an operator that is gone.
	-$(KUBECTL) exec -n drain-operator-system deployment/drain-operator -- /manager release --best-effort
	@# The operator first: it would restore its webhooks while the rest goes. The
	@# webhooks' configurations go with their owner, the ClusterRole, or right here.
	$(KUBECTL) delete deployment -n drain-operator-system drain-operator --ignore-not-found --cascade=foreground --timeout=120s
	$(KUBECTL) delete mutatingwebhookconfiguration drain-operator-inject --ignore-not-found
	$(KUBECTL) delete validatingwebhookconfiguration drain-operator-gate --ignore-not-found
	$(KUBECTL) delete lease -n drain-operator-system drain-operator-releasing --ignore-not-found
	$(KUBECTL) delete --ignore-not-found --timeout=120s -k config/default
