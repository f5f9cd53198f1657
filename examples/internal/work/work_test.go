package work

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWork(t *testing.T) {
	tests := map[string]struct {
		method, url, body string
		want              Done
	}{
		"GET":            {"GET", "/work?ms=1", "", Done{Pod: "web-1", Method: "GET", Millis: 1}},
		"without a wait": {"GET", "/work", "", Done{Pod: "web-1", Method: "GET"}},
		"POST":           {"POST", "/work?ms=2", "hello", Done{Pod: "web-1", Method: "POST", Millis: 2, Bytes: 5}},
		"flushed":        {"GET", "/work?ms=3&flush=1", "", Done{Pod: "web-1", Method: "GET", Millis: 3}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			Handler("web-1").ServeHTTP(w, httptest.NewRequest(tc.method, tc.url, strings.NewReader(tc.body)))
			var got Done
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
				t.Fatalf("%d: %v", w.Code, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if flushed := strings.Contains(tc.url, "flush"); w.Flushed != flushed {
				t.Errorf("flushed %v, want %v", w.Flushed, flushed)
			}
		})
	}
}

func TestWorkRefuses(t *testing.T) {
	for request, code := range map[string]int{
		"GET /work?ms=soon": 400, "GET /work?ms=-1": 400, "GET /work?ms=60001": 400, "PUT /work": 405, "GET /": 404, "GET /healthz": 200,
	} {
		method, url, _ := strings.Cut(request, " ")
		w := httptest.NewRecorder()
		Handler("web-1").ServeHTTP(w, httptest.NewRequest(method, url, nil))
		if w.Code != code {
			t.Errorf("%s: %d, want %d", request, w.Code, code)
		}
	}
}
