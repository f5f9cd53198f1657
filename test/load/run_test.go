package load

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A server that answers nobody must not slow the sending down.
func TestSlowAnswersDoNotLowerTheRate(t *testing.T) {
	answers := make(chan struct{})
	release := sync.OnceFunc(func() { close(answers) })
	s := serve(t, func(_ int, c *net.TCPConn) bool { <-answers; ok(c); return false })
	defer release()
	run, err := Start(t.Context(), Config{Target: s.url(), FreshPerSecond: 200, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	for s.requests.Load() < 100 {
		select {
		case <-run.Done():
			t.Fatal("the run ended")
		case <-time.After(5 * time.Millisecond):
		}
	}
	if live := run.Live(); live.Requests != 0 || live.Outstanding < 100 {
		t.Errorf("live is %+v with 100 requests arrived and none answered", live)
	}
	release()
	run.Stop()
	res, err := run.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Tally(); got.Requests < 100 || got.Failed() != 0 {
		t.Errorf("tally is %+v", got)
	}
}

func TestRequestsNotSentAreAnError(t *testing.T) {
	answers := make(chan struct{})
	release := sync.OnceFunc(func() { close(answers) })
	s := serve(t, func(_ int, c *net.TCPConn) bool { <-answers; ok(c); return false })
	defer release()
	run, err := Start(t.Context(), Config{Target: s.url(), FreshPerSecond: 500, MaxOutstanding: 10})
	if err != nil {
		t.Fatal(err)
	}
	for run.Live().NotSent == 0 {
		select {
		case <-run.Done():
			t.Fatal("the run ended")
		case <-time.After(5 * time.Millisecond):
		}
	}
	release()
	run.Stop()
	if _, err := run.Wait(); err == nil {
		t.Error("a run that did not send everything is no error")
	}
}

func TestTargetIsAwaited(t *testing.T) {
	s := serve(t, func(_ int, c *net.TCPConn) bool { ok(c); return false })
	s.listener.Close()
	cfg := Config{Target: s.url(), FreshPerSecond: 1, AwaitSeconds: 1}
	if _, err := Start(t.Context(), cfg); err == nil {
		t.Error("a run begins though nobody listens")
	}
	began := make(chan error)
	go func() {
		run, err := Start(t.Context(), Config{Target: s.url(), FreshPerSecond: 1, AwaitSeconds: 60})
		if err == nil {
			run.Stop()
		}
		began <- err
	}()
	l, err := net.Listen("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := <-began; err != nil {
		t.Errorf("the target listens, and the run does not begin: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"host name":     func(c *Config) { c.Target = "http://example.test/work" },
		"other scheme":  func(c *Config) { c.Target = "https://127.0.0.1/work" },
		"no rate":       func(c *Config) { c.FreshPerSecond, c.KeepAlivePerSecond, c.BusyConns = 0, 0, 0 },
		"negative rate": func(c *Config) { c.FreshPerSecond = -1 },
		"percent":       func(c *Config) { c.PostPercent = 101 },
		"min over max":  func(c *Config) { c.Work.MinMillis = 6000 },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Mixed("http://127.0.0.1:1/work")
			if err := cfg.check(); err != nil {
				t.Fatalf("before the edit: %v", err)
			}
			edit(&cfg)
			if err := cfg.check(); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestRecordSurvivesJSON(t *testing.T) {
	want := Results{
		StartedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Elapsed: time.Minute, NotSent: 1, MaxLag: time.Millisecond,
		Pods: []string{"", "web-1"},
		Records: []Record{
			{Start: 1500 * time.Microsecond, Work: 5 * time.Second, Latency: 5 * time.Second, Kind: Busy, Method: POST, Cause: Other, Pod: 1},
			{},
		},
	}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Results
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after JSON (-want +got):\n%s", diff)
	}
	if err := json.Unmarshal([]byte(`{"records":[[0,0,0,9,0,0,0]]}`), &got); err == nil {
		t.Error("a record of an unknown kind is read")
	}
}

func TestServerRunsLoad(t *testing.T) {
	work := serve(t, func(_ int, c *net.TCPConn) bool { ok(c); return true })
	api := httptest.NewServer(NewServer(t.Context()).Handler())
	defer api.Close()
	post := func(path, body string) int {
		resp, err := http.Post(api.URL+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	cfg, err := json.Marshal(Config{Target: work.url(), FreshPerSecond: 100, KeepAlivePerSecond: 100, BusyConns: 1, PostPercent: 50})
	if err != nil {
		t.Fatal(err)
	}
	steps := map[string]int{"nothing started": post("/stop", ""), "garbage": post("/start", "{"), "start": post("/start", string(cfg)), "again": post("/start", string(cfg))}
	want := map[string]int{"nothing started": 404, "garbage": 400, "start": 202, "again": 409}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Fatalf("statuses (-want +got):\n%s", diff)
	}
	for work.requests.Load() < 200 {
		time.Sleep(5 * time.Millisecond)
	}
	if got := post("/stop", ""); got != 200 {
		t.Fatalf("stop: %d", got)
	}
	resp, err := http.Get(api.URL + "/results")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var res Results
	if err := json.NewDecoder(resp.Body).Decode(&res); err != nil {
		t.Fatal(err)
	}
	all, posts := res.Tally(), res.Tally(With(POST))
	if all.Requests != int(work.requests.Load()) || all.Failed() != 0 {
		t.Errorf("%d requests arrived, the results say %+v", work.requests.Load(), all)
	}
	if posts.Requests == 0 || posts.Requests == all.Requests {
		t.Errorf("%d of %d are POST", posts.Requests, all.Requests)
	}
	if diff := cmp.Diff([]string{"", "web-1"}, res.Pods); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}
