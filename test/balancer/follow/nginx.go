package follow

import (
	"fmt"
	"strings"
)

// NginxConfig is the configuration of an nginx in front of the targets, which
// keeps its files in dir. Connections to pods are pooled; nothing is sent twice,
// and no pod is left out because one of its requests failed: what is cut fails.
func NginxConfig(listen, dir string, serving []Target) string {
	return strings.NewReplacer("LISTEN", listen, "DIR", dir, "UPSTREAM", upstream(serving), "WHERE", where(serving)).Replace(`daemon off;
worker_processes 1;
pid DIR/nginx.pid;
error_log stderr warn;
events { worker_connections 8192; }
http {
  access_log off;
  client_body_temp_path DIR/body;
  proxy_temp_path DIR/proxy;
  fastcgi_temp_path DIR/fastcgi;
  uwsgi_temp_path DIR/uwsgi;
  scgi_temp_path DIR/scgi;
  keepalive_timeout 1h;
  keepalive_requests 1000000;
  map $http_upgrade $connection_header { default upgrade; '' ''; }
UPSTREAM  server {
    listen LISTEN;
    location / {
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_header;
      proxy_next_upstream off;
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
      WHERE
    }
  }
}
`)
}

func upstream(serving []Target) string {
	if len(serving) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("  upstream pods {\n")
	for _, t := range serving {
		fmt.Fprintf(&b, "    server %s max_fails=0;\n", t)
	}
	// An idle connection goes before the pod's server closes it, as Gunicorn does
	// after 2 s: a request that crosses such a close fails, whatever pods do.
	b.WriteString("    keepalive 64;\n    keepalive_requests 1000000;\n    keepalive_timeout 1s;\n  }\n")
	return b.String()
}

func where(serving []Target) string {
	if len(serving) == 0 {
		return "return 503;"
	}
	return "proxy_pass http://pods;"
}
