package hold

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func full() Spec {
	return Spec{
		Role: RoleServe, ReleaseWhen: ReleaseWhenDrained,
		PropagationSeconds: 5, PropagationMaxSeconds: 30, BoundSeconds: 45,
		HTTP: &HTTP{
			Port: 8089, Path: "/drain-status?a=b", Scheme: "HTTP", TimeoutSeconds: 2, PeriodSeconds: 1,
			DrainedWhen: "Metric", Metric: "busy", MatchLabels: map[string]string{"pool": "a"},
		},
		Notify:          &Notify{Port: 8089, Path: "/drain", Scheme: "HTTPS"},
		LongLived:       &LongLived{Policy: LongLivedCloseAfter, NoticeSeconds: 10},
		ServePorts:      []int32{8080, 8443},
		ReadinessProbes: []Probe{{Port: 8080, HTTPPath: "/ready", PeriodSeconds: 10, TimeoutSeconds: 1, FailureThreshold: 3}},
		Alive:           &Probe{Exec: []string{"sh", "-c", "test -e /tmp/x"}, PeriodSeconds: 10, TimeoutSeconds: 1, FailureThreshold: 3},
		Existing:        &ExistingHook{Last: true, Port: 8080, HTTPPath: "/bye", Headers: []Header{{Name: "X", Value: "y"}}},
		TerminationLog:  "/dev/termination-log", LogsOnError: true,
	}
}

func TestCommandIsParsed(t *testing.T) {
	command, err := full().Command()
	if err != nil {
		t.Fatal(err)
	}
	if !IsAgentCommand(command) {
		t.Errorf("%q is not taken for the agent's", command)
	}
	got, err := ParseCommand(command)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full(), got); diff != "" {
		t.Errorf("spec (-made +parsed):\n%s", diff)
	}
}

func TestParse(t *testing.T) {
	const rest = `"releaseWhen":"Drained","propagationSeconds":5,"propagationMaxSeconds":30,"boundSeconds":45,"terminationLog":""`
	tests := map[string]struct {
		encoded string
		problem string
	}{
		"least":             {`{"role":"Serve",` + rest + `}`, ""},
		"follow":            {`{"role":"Follow",` + rest + `}`, ""},
		"nothing":           {``, "reading the hold"},
		"not JSON":          {`--verbose`, "reading the hold"},
		"no role":           {`{` + rest + `}`, `role ""`},
		"unknown role":      {`{"role":"Watch",` + rest + `}`, `role "Watch"`},
		"unknown release":   {`{"role":"Serve","releaseWhen":"Soon"}`, `releaseWhen "Soon"`},
		"unknown field":     {`{"role":"Serve","surprise":1,` + rest + `}`, "surprise"},
		"more after it":     {`{"role":"Serve",` + rest + `}{}`, "more follows"},
		"two statuses":      {`{"role":"Serve","http":{},"tcp":{},` + rest + `}`, "at most one"},
		"negative bound":    {`{"role":"Serve","releaseWhen":"Drained","boundSeconds":-1}`, "negative"},
		"long-lived":        {`{"role":"Serve","longLived":{"policy":"Wait","noticeSeconds":0},` + rest + `}`, ""},
		"unknown policy":    {`{"role":"Serve","longLived":{"policy":"Exclude"},` + rest + `}`, `longLived.policy "Exclude"`},
		"negative notice":   {`{"role":"Serve","longLived":{"policy":"Wait","noticeSeconds":-1},` + rest + `}`, "negative"},
		"stop":              {`{"role":"Serve","stop":{"signal":"SIGQUIT","untilSeconds":58},` + rest + `}`, ""},
		"a newer stop":      {`{"role":"Serve","stop":{"signal":"SIGRTMIN","untilSeconds":58},` + rest + `}`, ""},
		"negative stop":     {`{"role":"Serve","stop":{"signal":"SIGQUIT","untilSeconds":-1},` + rest + `}`, "negative"},
		"seconds with half": {`{"role":"Serve","releaseWhen":"Drained","boundSeconds":1.5}`, "reading the hold"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(tc.encoded)
			if tc.problem == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if tc.problem != "" && (err == nil || !strings.Contains(err.Error(), tc.problem)) {
				t.Errorf("got %v, want an error with %q", err, tc.problem)
			}
		})
	}
}

// An agent that is older than the operator holds by what it knows; one that is
// newer finds no field missing.
func TestParseNewer(t *testing.T) {
	const known = `"role":"Serve","releaseWhen":"Drained","propagationSeconds":5,"propagationMaxSeconds":30,"boundSeconds":45,"terminationLog":""`
	want := Spec{Role: RoleServe, ReleaseWhen: ReleaseWhenDrained, PropagationSeconds: 5, PropagationMaxSeconds: 30, BoundSeconds: 45}
	tests := map[string]struct {
		encoded, unknown, problem string
	}{
		"of its own version": {`{` + known + `}`, "", ""},
		"of a newer one":     {`{` + known + `,"surprise":{"policy":"Wait"}}`, "surprise", ""},
		"broken":             {`{` + known, "", "reading the hold"},
		"newer and invalid":  {`{"role":"Watch","surprise":1}`, "", "surprise"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, unknown, err := ParseNewer(tc.encoded)
			if !says(unknown, tc.unknown) || !says(err, tc.problem) {
				t.Fatalf("unknown: %v, error: %v", unknown, err)
			}
			if diff := cmp.Diff(want, got); tc.problem == "" && diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
		})
	}
}

// says whether an error has a text in it, or is none where there is none.
func says(err error, text string) bool {
	if text == "" {
		return err == nil
	}
	return err != nil && strings.Contains(err.Error(), text)
}

func TestIsAgentCommand(t *testing.T) {
	tests := map[string]struct {
		command []string
		want    bool
	}{
		"ours":            {[]string{AgentPath, "wait", "--hold", "{}"}, true},
		"nothing":         {nil, false},
		"another binary":  {[]string{"/bin/agent", "wait", "--hold", "{}"}, false},
		"another command": {[]string{AgentPath, "status", "--hold", "{}"}, false},
		"more":            {[]string{AgentPath, "wait", "--hold", "{}", "x"}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := IsAgentCommand(tc.command); got != tc.want {
				t.Errorf("got %v", got)
			}
			if _, err := ParseCommand(tc.command); err == nil { // {} has no role
				t.Error("parsed")
			}
		})
	}
}
