
## Check

LINTER := $(BIN)/golangci-lint-kube-api-linter

.PHONY: lint
lint: $(LINTER) ## Run the linters.
	$(LINTER) run ./...

.PHONY: verify
verify: verify-generated verify-modules lint verify-clean ## Check that generated code is up to date, modules are tidy, linters are content.

.PHONY: verify-generated
verify-generated: generate
	@$(MAKE) --no-print-directory verify-clean

.PHONY: verify-modules
verify-modules:
	@for dir in . $$(git ls-files | grep -E '^hack/.*go\.mod$$' | xargs -n1 dirname); do \
	  (cd $$dir && go mod tidy -diff >/dev/null) || { echo "$$dir: run 'go mod tidy'" >&2; exit 1; }; done

# Compares with what was there when make began only in CI, where the tree is a
# fresh clone; by hand it also names work in progress.
.PHONY: verify-clean
verify-clean:
	@changed=$$(git status --porcelain); if [ -n "$$changed" ]; then \
	  echo "not committed, or changed by generation:" >&2; echo "$$changed" >&2; exit 1; fi
