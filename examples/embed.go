package examples

import "embed"

// Files are the examples that are not Go, for the pods of tests that run them.
//
//go:embed python/drain.py asyncio/server.py node/drain.js node/server.js nginx/nginx.conf haproxy/haproxy.cfg
var Files embed.FS
