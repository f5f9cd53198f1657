package drainstatus

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// endless is a body of 1 GB and more; a reader that does not stop does not end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func answer(code int, body string) Reply {
	return Reply{StatusCode: code, ContentType: "application/json", Body: strings.NewReader(body)}
}

func unreadable(why string) Reading {
	return Reading{State: Unreadable, InFlight: Untold, LongLived: Untold, Reason: why}
}

func TestEvaluateBody(t *testing.T) {
	tests := map[string]struct {
		reply Reply
		want  Reading
	}{
		"drained": {
			answer(200, `{"version":1,"inFlight":0}`),
			Reading{State: Drained, Reason: "0 in flight, 0 long-lived"},
		},
		"busy": {
			answer(200, `{"version":1,"inFlight":3,"longLived":2}`),
			Reading{State: Busy, InFlight: 3, LongLived: 2, Reason: "3 in flight, 2 long-lived"},
		},
		"long-lived connections are left out": {
			answer(200, `{"version":1,"inFlight":0,"longLived":2}`),
			Reading{State: Drained, LongLived: 2, Reason: "0 in flight, 2 long-lived"},
		},
		"how old connections are": {
			answer(200, `{"version":1,"inFlight":0,"longLived":2,"oldestLongLivedSeconds":86400.5}`),
			Reading{State: Drained, LongLived: 2, OldestLongLivedSeconds: 86400.5, Reason: "0 in flight, 2 long-lived"},
		},
		"how old connections are that there are none of": {
			answer(200, `{"version":1,"inFlight":0,"oldestLongLivedSeconds":86400.5}`),
			Reading{State: Drained, Reason: "0 in flight, 0 long-lived"},
		},
		"drained, but with another status": {
			answer(503, `{"version":1,"inFlight":0}`), unreadable("answered 503, want 200"),
		},
		"no content": {answer(204, ``), unreadable("answered 204, want 200")},
		"a redirect": {answer(302, `{"version":1,"inFlight":0}`), unreadable("answered 302: redirects are not followed")},
		"garbage":    {answer(200, `OK`), unreadable("drain status: not a JSON object")},
		"no body":    {Reply{StatusCode: 200}, unreadable("drain status: not a JSON object")},
		"1 GB":       {Reply{StatusCode: 200, Body: endless{}}, unreadable("body is too large: over 65536 bytes")},
		"an error":   {Reply{Err: errors.New("refused")}, unreadable("no answer: refused")},
		"an error and a body": {
			Reply{StatusCode: 200, Body: strings.NewReader(`{"version":1,"inFlight":0}`), Err: errors.New("late")},
			unreadable("no answer: late"),
		},
		"a body that breaks off": {
			Reply{StatusCode: 200, Body: io.MultiReader(strings.NewReader(`{"version":1,"inFlight":0}`), failing{})},
			unreadable("reading the answer: broken off"),
		},
		"a reason stays one short line": {
			Reply{Err: errors.New("a\nb\x1b[31m" + strings.Repeat("é", 200))},
			unreadable("no answer: a?b?[31m" + strings.Repeat("é", 90)),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, EvaluateBody(tc.reply, Exclude)); diff != "" {
				t.Errorf("reading (-want +got):\n%s", diff)
			}
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken off") }

func TestEvaluateStatusCode(t *testing.T) {
	drained := func(why string) Reading { return Reading{State: Drained, LongLived: Untold, Reason: why} }
	tests := map[string]struct {
		reply Reply
		want  Reading
	}{
		"200":             {answer(200, `anything`), drained("answered 200")},
		"204":             {Reply{StatusCode: 204}, drained("answered 204")},
		"299":             {answer(299, ``), drained("answered 299")},
		"503":             {answer(503, ``), Reading{State: Busy, InFlight: Untold, LongLived: Untold, Reason: "answered 503"}},
		"500":             {answer(500, ``), unreadable("answered 500, want 2xx or 503")},
		"404":             {answer(404, ``), unreadable("answered 404, want 2xx or 503")},
		"a redirect":      {answer(307, ``), unreadable("answered 307: redirects are not followed")},
		"not modified":    {answer(304, ``), unreadable("answered 304: redirects are not followed")},
		"101":             {answer(101, ``), unreadable("answered 101, want 2xx or 503")},
		"no answer":       {Reply{Err: errors.New("timeout")}, unreadable("no answer: timeout")},
		"1 GB":            {Reply{StatusCode: 200, Body: endless{}}, unreadable("body is too large: over 65536 bytes")},
		"503 without end": {Reply{StatusCode: 503, Body: endless{}}, unreadable("body is too large: over 65536 bytes")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, EvaluateStatusCode(tc.reply)); diff != "" {
				t.Errorf("reading (-want +got):\n%s", diff)
			}
		})
	}
}
