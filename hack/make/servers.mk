.PHONY: server-facts
server-facts: ## Measure what the servers of docs/servers.md do when they are told to end (root on Linux).
	@go run ./hack/image/cmd -spec test/servers/images.json -platforms linux/$$(go env GOARCH)
	@go build -o $(BIN)/server-facts ./test/servers/cmd/facts
	@$(BIN)/server-facts
