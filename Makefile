# drain-operator: `make help` says what there is.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := $(CURDIR)/bin
export PATH := $(BIN):$(PATH)

include $(wildcard hack/make/*.mk)

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*## "; printf "Usage: make <target>\n"} \
	  /^## / {printf "\n%s\n", substr($$0, 4)} \
	  /^[a-zA-Z0-9_-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## Code

.PHONY: generate
generate: $(BIN)/controller-gen $(BIN)/crd-ref-docs ## Generate deep copies, apply configurations, the CRD, RBAC, the chart's copies and docs/api.md.
	$(BIN)/controller-gen object applyconfiguration:headerFile=hack/boilerplate.go.txt paths=./api/...
	$(BIN)/controller-gen crd paths=./api/... output:crd:artifacts:config=config/crd
	$(BIN)/controller-gen rbac:roleName=drain-operator paths=. paths=./controllers/... paths=./internal/... output:rbac:artifacts:config=config/rbac
	@$(MAKE) --no-print-directory generate-chart
	$(BIN)/crd-ref-docs --log-level=ERROR --source-path=api/v1alpha1 --config=hack/api-docs.yaml --renderer=markdown --output-path=docs/api.md

.PHONY: build
build: ## Build the operator and the agent for this machine.
	CGO_ENABLED=0 go build -trimpath -o $(BIN)/ . ./cmd/...

# Tools of the chart, in a module of their own: theirs is an older Kubernetes.
$(addprefix $(BIN)/,helm helm-unittest kustomize): hack/chart/go.mod hack/chart/go.sum
	@mkdir -p $(BIN)
	cd hack/chart && go build -o $@ $$(go list tool | grep -E '/$(@F)(/v[0-9]+)?$$')

$(BIN)/%: hack/tools/go.mod hack/tools/go.sum
	@mkdir -p $(BIN)
	cd hack/tools && go build -o $@ $$(go list tool | grep -E '/$*(/v[0-9]+)?$$')
