package sessions

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/drain-operator/drain-operator/test/load"
	"github.com/drain-operator/drain-operator/test/perf"
)

// rolled is an update in which each client was told once, a hundred in a second,
// and came back 200 ms later.
func rolled() seen {
	s := seen{Results: load.Results{Elapsed: 40 * time.Second}, began: 5 * time.Second, gone: 35 * time.Second}
	for i := range clients {
		told := 10*time.Second + time.Duration(i)*10*time.Millisecond
		s.Sessions = append(s.Sessions,
			load.Session{Client: i, Told: told, End: told + 10*time.Millisecond, Sent: 10, Received: 10},
			load.Session{Client: i, Start: told + 200*time.Millisecond, End: s.Elapsed, Sent: 30, Received: 30})
	}
	return s
}

func over(figures []perf.Figure) (what []string) {
	for _, f := range figures {
		if f.Verdict() == perf.Over {
			what = append(what, f.What)
		}
	}
	return what
}

func TestFigures(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*seen)
		want string
	}{
		"as it should be":  {func(*seen) {}, ""},
		"one untold":       {func(s *seen) { s.Sessions[0].Told, s.Sessions[0].Cause = 0, load.Closed }, "connections that ended, or failed, untold"},
		"one told and cut": {func(s *seen) { s.Sessions[0].Cause = load.Reset }, "connections cut after their client was told"},
		"one away":         {func(s *seen) { s.Sessions = s.Sessions[:len(s.Sessions)-1] }, "clients not connected at the end"},
		"one lost":         {func(s *seen) { s.Sessions[0].Received, s.Sessions[0].Lost = 9, 1 }, "messages lost"},
		"all at once": {func(s *seen) {
			for i := range s.Sessions {
				if s.Sessions[i].Start > 0 {
					s.Sessions[i].Start = 30 * time.Second
				}
			}
		}, "clients that came back in the busiest second"},
	} {
		t.Run(name, func(t *testing.T) {
			s := rolled()
			tc.edit(&s)
			if got := strings.Join(over(s.figures()), ", "); got != tc.want {
				t.Errorf("over their bounds: %q, want %q", got, tc.want)
			}
		})
	}
}

func TestPlot(t *testing.T) {
	page, err := rolled().plot()
	if err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(strings.NewReader(string(page)))
	for err == nil {
		_, err = d.Token()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("the plot is no XML: %v", err)
	}
	for _, wanted := range []string{"2000 WebSockets on 4 pods", "busiest second: 100, even rate: 100", "update", "last old pod gone"} {
		if !strings.Contains(string(page), wanted) {
			t.Errorf("the plot lacks %q", wanted)
		}
	}
}
