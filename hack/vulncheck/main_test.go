package main

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// serveClean serves a database as https://vuln.go.dev does: packed where asked.
func serveClean(rw http.ResponseWriter, r *http.Request) {
	text, err := os.ReadFile(filepath.Join("testdata/clean", strings.TrimSuffix(r.URL.Path, ".gz")))
	if err != nil {
		http.NotFound(rw, r)
		return
	}
	if !strings.HasSuffix(r.URL.Path, ".gz") {
		_, _ = rw.Write(text)
		return
	}
	packed := gzip.NewWriter(rw)
	_, _ = packed.Write(text)
	_ = packed.Close()
}

// The real govulncheck, on a module of one line and databases of none or one entry.
func TestRun(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "govulncheck")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", tool, "golang.org/x/vuln/cmd/govulncheck")
	build.Dir = "../tools"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	copyOf := func(name string) string {
		path, err := filepath.Abs(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return "file://" + path
	}
	served := httptest.NewServer(http.HandlerFunc(serveClean))
	defer served.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	closed := httptest.NewServer(nil)
	closed.Close()

	for name, tc := range map[string]struct {
		database string
		require  bool
		code     int
		says     string
	}{
		"nothing is known":           {copyOf("clean"), false, 0, "No vulnerabilities found"},
		"something is called":        {copyOf("affected"), false, 3, "GO-2026-99999"},
		"over HTTP":                  {served.URL, true, 0, "as of 2026-01-02"},
		"no connection":              {closed.URL, false, 0, "NOT CHECKED"},
		"no connection, but must be": {closed.URL, true, 1, "NOT CHECKED"},
		"something else answers":     {gone.URL, false, 0, "answered 404"},
		"no copy":                    {copyOf("none"), false, 0, "NOT CHECKED"},
		"a copy of something else":   {copyOf("module"), false, 0, "NOT CHECKED"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			code, err := run(t.Context(), config{tool, tc.database, "testdata/module", tc.require, []string{"./..."}}, &out, &out)
			if (err != nil) != (tc.require && tc.code == 1) || code != tc.code || !strings.Contains(out.String(), tc.says) {
				t.Errorf("exit %d, want %d with %q; %v\n%s", code, tc.code, tc.says, err, out.String())
			}
		})
	}
}
