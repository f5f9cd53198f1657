package servers

import "slices"

// Port is where every server of the catalog serves, and its container's port
// "http".
const Port = 8080

var catalog = []Server{
	{
		Name: "go", KeepAlive: true, EventStream: true, WebSocket: true,
		command:     []string{"/usr/bin/stream", "-period=200ms"},
		bareCommand: []string{"/usr/bin/shutdown"},
	},
	{
		Name: "node", KeepAlive: true, EventStream: true, WebSocket: true,
		command: []string{"/usr/bin/node", "/app/server.js"},
		files:   map[string]string{"server.js": "node/server.js", "drain.js": "node/drain.js"},
	},
	{
		Name: "asyncio", KeepAlive: true, EventStream: true,
		command: []string{"/usr/bin/python3", "/app/server.py"},
		files:   map[string]string{"server.py": "asyncio/server.py", "drain.py": "python/drain.py"},
	},
	gunicorn("sync", nil, "--workers=4"),
	gunicorn("gthread", []string{"--keep-alive=" + keepAlive}, "--workers=2", "--threads=16"),
	// gevent waits for idle connections at its end, as long as it keeps them.
	gunicorn("gevent", nil, "--workers=2"),
	{
		Name: "uvicorn", KeepAlive: true, EventStream: true, WebSocket: true,
		command:     uvicorn("--timeout-keep-alive=" + keepAlive),
		bareCommand: uvicorn(),
		files:       asgi,
	},
	{
		Name: "hypercorn", KeepAlive: true, EventStream: true, WebSocket: true,
		command:     hypercorn("--keep-alive=" + keepAlive),
		bareCommand: hypercorn(),
		files:       asgi,
	},
	{
		Name: "nginx", KeepAlive: true, EventStream: true, proxy: true,
		command: []string{"/usr/sbin/nginx", "-e", "stderr", "-c", "/app/nginx.conf", "-g", "daemon off;"},
		files:   map[string]string{"nginx.conf": "nginx/nginx.conf", "server.py": "asyncio/server.py", "drain.py": "python/drain.py"},
		hook:    []string{"/bin/touch", "/dev/shm/draining"},
	},
	{
		Name: "haproxy", KeepAlive: true, EventStream: true, proxy: true,
		command: []string{"/usr/sbin/haproxy", "-W", "-db", "-f", "/app/haproxy.cfg"},
		files:   map[string]string{"haproxy.cfg": "haproxy/haproxy.cfg", "server.py": "asyncio/server.py", "drain.py": "python/drain.py"},
	},
}

var asgi = map[string]string{"asgi.py": "apps/asgi.py", "drain.py": "python/drain.py"}

// keepAlive is how long idle connections are kept, in seconds: for longer than
// load balancers keep them (docs/balancers.md). Bare servers have their defaults.
const keepAlive = "75"

// gunicorn is Gunicorn with one of its kinds of workers. A stream takes a whole
// worker of the first kind, or a thread of the second. The bare one has no
// configuration file, in which a graceful timeout could be set.
func gunicorn(worker string, covered []string, flags ...string) Server {
	with := func(config ...string) []string {
		return slices.Concat([]string{"/usr/bin/gunicorn"}, config, []string{"--worker-class=" + worker}, flags, []string{"wsgi:app"})
	}
	return Server{
		Name: "gunicorn-" + worker, KeepAlive: worker != "sync", EventStream: worker == "gevent",
		command:     with(append([]string{"--config=/app/gunicorn.conf.py"}, covered...)...),
		bareCommand: with("--bind=0.0.0.0:8080", "--worker-tmp-dir=/dev/shm"),
		files:       map[string]string{"wsgi.py": "apps/wsgi.py", "gunicorn.conf.py": "apps/gunicorn.conf.py", "drain.py": "python/drain.py"},
	}
}

func uvicorn(flags ...string) []string {
	return slices.Concat([]string{"/usr/bin/uvicorn", "--app-dir=/app", "--host=0.0.0.0", "--port=8080", "--no-access-log"}, flags, []string{"asgi:app"})
}

func hypercorn(flags ...string) []string {
	return slices.Concat([]string{"/usr/bin/hypercorn", "--bind=0.0.0.0:8080"}, flags, []string{"asgi:app"})
}
