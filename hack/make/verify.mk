
## Check

LINTER := $(BIN)/golangci-lint-kube-api-linter

.PHONY: lint
lint: $(LINTER) ## Run the linters.
	$(LINTER) run ./...

.PHONY: verify
verify: verify-generated verify-modules verify-licences lint verify-vulnerabilities verify-clean ## Check that generated code is up to date, modules are tidy, licences are allowed, linters are content, no vulnerability is known.

.PHONY: verify-generated
verify-generated: generate
	@$(MAKE) --no-print-directory verify-clean

.PHONY: verify-modules
verify-modules:
	@for dir in . $$(git ls-files | grep -E '^hack/.*go\.mod$$' | xargs -n1 dirname); do \
	  (cd $$dir && go mod tidy -diff >/dev/null) || { echo "$$dir: run 'go mod tidy'" >&2; exit 1; }; done

.PHONY: licences
licences: ## List the licences of what is shipped, in docs/licences.md.
	go run ./hack/licences

.PHONY: verify-licences
verify-licences:
	@go run ./hack/licences -check

# A copy of the database: VULNDB=file:///path. Where the database cannot be
# reached this says loudly that nothing was checked, and goes on, unless
# VULNDB_REQUIRED=true.
VULNDB ?= https://vuln.go.dev
VULNDB_REQUIRED ?= false

.PHONY: verify-vulnerabilities
verify-vulnerabilities: $(BIN)/govulncheck ## Check the dependencies for known vulnerabilities, where the database can be reached.
	@go run ./hack/vulncheck -govulncheck $< -db '$(VULNDB)' -require=$(VULNDB_REQUIRED) ./...

# Compares with what was there when make began only in CI, where the tree is a
# fresh clone; by hand it also names work in progress.
.PHONY: verify-clean
verify-clean:
	@changed=$$(git status --porcelain); if [ -n "$$changed" ]; then \
	  echo "not committed, or changed by generation:" >&2; echo "$$changed" >&2; exit 1; fi
