package observe

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseSources(t *testing.T) {
	got, err := ParseSources([]byte(`
sources:
- name: default
  address: http://prometheus.monitoring:9090
- name: thanos
  address: https://thanos.monitoring/prefix/
  namespaceLabel: kubernetes_namespace
  timeoutSeconds: 3
  httpClientConfig:
    authorization: {credentials_file: token}
    tls_config: {server_name: thanos, min_version: TLS13}
    http_headers: {X-Scope-OrgID: {values: [shop]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Sources{
		"default": {Name: "default", Address: "http://prometheus.monitoring:9090", NamespaceLabel: "namespace", Timeout: 10 * time.Second},
		"thanos":  {Name: "thanos", Address: "https://thanos.monitoring/prefix/", NamespaceLabel: "kubernetes_namespace", Timeout: 3 * time.Second},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Source{})); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"default", "thanos"}, got.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestParseSourcesRefuses(t *testing.T) {
	const head = "sources:\n- name: one\n  address: "
	tests := map[string]struct{ file, want string }{
		"a field it does not know":    {head + "http://p\n  speed: x", `speed`},
		"one of the client's":         {head + "http://p\n  httpClientConfig: {basicauth: {}}", `basicauth`},
		"no name":                     {"sources:\n- address: http://p", `sources[0] "": name:`},
		"a bad name":                  {"sources:\n- {name: A, address: 'http://p'}", `sources[0] "A": name:`},
		"the same name":               {"sources:\n- {name: a, address: 'http://p'}\n- {name: a, address: 'http://p'}", `sources[1] "a": name:`},
		"no address":                  {"sources:\n- name: a", `sources[0] "a": address:`},
		"another scheme":              {head + "ftp://p", `sources[0] "one": address: must begin`},
		"no host":                     {head + "http:///x", `address: has no host`},
		"a query":                     {head + "http://p?token=hunter2", `address: must have no query`},
		"a password in the address":   {head + "http://u:hunter2@p", `address: must have no user`},
		"an address that is no URL":   {head + "'http://u:hunter2@p:x y'", `address: is not a URL`},
		"a label that is none":        {head + "http://p\n  namespaceLabel: a-b", `namespaceLabel:`},
		"the name as the label":       {head + "http://p\n  namespaceLabel: __name__", `namespaceLabel:`},
		"no time":                     {head + "http://p\n  timeoutSeconds: 0", `timeoutSeconds:`},
		"too much time":               {head + "http://p\n  timeoutSeconds: 61", `timeoutSeconds:`},
		"two credentials":             {head + "http://p\n  httpClientConfig: {bearer_token: hunter2, basic_auth: {username: u, password: hunter2}}", `at most one of`},
		"a password in a wrong place": {head + "http://p\n  httpClientConfig: {basic_auth: hunter2}", `line 4`},
		"an absolute path":            {head + "http://p\n  httpClientConfig: {bearer_token_file: /etc/shadow}", `httpClientConfig: authorization.credentials_file:`},
		"a path that leads out":       {head + "http://p\n  httpClientConfig: {tls_config: {ca_file: ../ca}}", `tls_config.ca_file:`},
		"a header's file":             {head + "http://p\n  httpClientConfig: {http_headers: {X-A: {files: [/etc/shadow]}}}", `http_headers.x-a.files[0]:`},
		"a CA that is not there":      {head + "http://p\n  httpClientConfig: {tls_config: {ca_file: none}}", `sources[0] "one": httpClientConfig:`},
		"the environment's proxy":     {head + "http://p\n  httpClientConfig: {proxy_from_environment: true}", `proxy_from_environment:`},
		"oauth2":                      {head + "http://p\n  httpClientConfig: {oauth2: {client_id: a, client_secret: hunter2, token_url: 'http://x'}}", `oauth2:`},
		"no YAML":                     {"sources: [`hunter2", `yaml`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseSources([]byte(tc.file))
			if err == nil {
				t.Fatalf("got %v, want an error", got)
			}
			if !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %q, want %q in it and no password", err, tc.want)
			}
		})
	}
}

func TestLoadSources(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sources.yaml")
	if _, err := LoadSources(path); err == nil {
		t.Error("no error for a file that is not there")
	}
	write(t, path, "sources: [{name: a, address: 'http://p', bogus: 1}]")
	if _, err := LoadSources(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want an error that names the file", err)
	}
	write(t, path, strings.Repeat("#", maxSourcesBytes+1))
	if _, err := LoadSources(path); err == nil {
		t.Error("no error for a file without end")
	}
	write(t, path, "")
	if got, err := LoadSources(path); err != nil || len(got) != 0 {
		t.Errorf("an empty file: got %v, %v", got, err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
