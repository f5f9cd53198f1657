
## Cluster

# A real Kubernetes for tests and for trying things out: docs/cluster.md.

CLUSTER_BIN := bin/cluster
# Without arm64 an image takes half the time to build.
PLATFORMS ?= linux/amd64,linux/arm64
IMAGE_TAG ?= dev
# What the nodes of a cluster to test on are.
NODE_PLATFORMS ?= linux/$(shell go env GOARCH)
# Images to build; all of hack/image/images.json when empty.
IMAGES ?=

.PHONY: cluster-bin
cluster-bin:
	@go build -o $(CLUSTER_BIN) ./test/cluster/cmd/cluster

.PHONY: kubernetes
kubernetes: cluster-bin ## Build the Kubernetes binaries into the cache (once).
	@$(CLUSTER_BIN) build

.PHONY: cluster-up
cluster-up: cluster-bin ## Bring up a one-node cluster; its kubeconfig is .cluster/kubeconfig.
	@$(CLUSTER_BIN) up

.PHONY: cluster-down
cluster-down: cluster-bin ## Take the cluster down and remove everything of it.
	@$(CLUSTER_BIN) down

.PHONY: cluster-load
cluster-load: cluster-bin ## Load images: make cluster-load ARCHIVE="dist/a.tar dist/b.tar".
	@test -n "$(ARCHIVE)" || { echo 'name the archives: make cluster-load ARCHIVE="dist/drain-operator.tar"'; exit 2; }
	@$(CLUSTER_BIN) load $(ARCHIVE)

.PHONY: test-cluster
test-cluster: kubernetes ## Test the cluster itself: what tests rely on, and that it leaves nothing behind.
	@go test -tags cluster -count=1 -timeout 15m ./test/cluster/

## Images

.PHONY: image
image: ## Assemble the images as OCI archives in dist/, without a container engine.
	@go run ./hack/image/cmd -platforms $(PLATFORMS) -tag $(IMAGE_TAG) $(IMAGES)

# Where a cluster of yours is to have them: names and digests are its registry's
# from then on, before anything is written that has them in it.
.PHONY: image-existing
image-existing:
ifeq ($(CLUSTER),existing)
	@test -n "$(REGISTRY)" || { echo 'CLUSTER=existing: set REGISTRY to one that the cluster pulls from, such as registry.example.com/team'; exit 2; }
	@go run ./hack/image/cmd $(if $(IMAGE_SPEC),-spec $(IMAGE_SPEC)) -push $(REGISTRY) $(IMAGES)
else
	@:
endif

.PHONY: image-push
image-push: ## Push what image wrote: make image-push REGISTRY=registry.example.com/team.
	@test -n "$(REGISTRY)" || { echo 'name the registry: make image-push REGISTRY=registry.example.com/team'; exit 2; }
	@go run ./hack/image/cmd -push $(REGISTRY) $(IMAGES)
