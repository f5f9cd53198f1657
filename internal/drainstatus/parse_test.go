package drainstatus

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	tests := map[string]struct {
		body string
		want Status
	}{
		"the example of the protocol": {
			`{"version": 1, "draining": true, "inFlight": 3, "longLived": 12, "oldestInFlightSeconds": 1.2, "oldestLongLivedSeconds": 4321.5}`,
			Status{Version: 1, Draining: true, InFlight: 3, LongLived: 12, OldestInFlightSeconds: 1.2, OldestLongLivedSeconds: 4321.5},
		},
		"the least that is a status": {`{"version":1,"inFlight":0}`, Status{Version: 1}},
		"white space around it":      {"\n\t {\"version\":1,\"inFlight\":2} \r\n", Status{Version: 1, InFlight: 2}},
		"unknown fields are skipped": {`{"version":1,"inFlight":2,"queue":{"inFlight":7},"x":[{}]}`, Status{Version: 1, InFlight: 2}},
		"another spelling is unknown": {
			`{"version":1,"inFlight":2,"inflight":0,"INFLIGHT":0}`, Status{Version: 1, InFlight: 2},
		},
		"an integer with a fraction of 0": {`{"version":1.0,"inFlight":3.00}`, Status{Version: 1, InFlight: 3}},
		"what is not known is null": {
			`{"version":1,"inFlight":1,"longLived":null,"oldestInFlightSeconds":null,"oldestLongLivedSeconds":null,"draining":null}`, Status{Version: 1, InFlight: 1},
		},
		"the largest count": {`{"version":1,"inFlight":9007199254740991}`, Status{Version: 1, InFlight: MaxCount}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := map[string]struct{ body, want string }{
		"nothing":                      {``, "not a JSON object"},
		"not JSON":                     {`OK`, "not a JSON object"},
		"a page":                       {`<html><body>inFlight: 0</body></html>`, "not a JSON object"},
		"a list":                       {`[{"version":1,"inFlight":0}]`, "not a JSON object"},
		"null":                         {`null`, "not a JSON object"},
		"a byte order mark":            {"\ufeff" + `{"version":1,"inFlight":0}`, "not a JSON object"},
		"cut short":                    {`{"version":1,"inFlight":0`, "does not end"},
		"cut in a field":               {`{"version":1,"inFli`, "broken JSON"},
		"trailing garbage":             {`{"version":1,"inFlight":0}x`, "something follows"},
		"two objects":                  {`{"version":1,"inFlight":0}{"version":1,"inFlight":3}`, "something follows"},
		"no version":                   {`{"inFlight":0}`, `"version" is missing`},
		"a newer version":              {`{"version":2,"inFlight":0}`, "unsupported version of the drain status: 2"},
		"version 0":                    {`{"version":0,"inFlight":0}`, "unsupported version of the drain status: 0"},
		"version as text":              {`{"version":"1","inFlight":0}`, `"version"`},
		"no inFlight":                  {`{"version":1}`, `"inFlight" is missing`},
		"inFlight in capitals":         {`{"version":1,"INFLIGHT":0}`, `"inFlight" is missing`},
		"inFlight null":                {`{"version":1,"inFlight":null}`, "not an integer"},
		"inFlight negative":            {`{"version":1,"inFlight":-1}`, "is not in 0.."},
		"inFlight as text":             {`{"version":1,"inFlight":"0"}`, "not an integer"},
		"inFlight a fraction":          {`{"version":1,"inFlight":0.5}`, "not an integer"},
		"inFlight that underflows":     {`{"version":1,"inFlight":1e-400}`, "not an integer"},
		"inFlight false":               {`{"version":1,"inFlight":false}`, "not an integer"},
		"inFlight over 2^53":           {`{"version":1,"inFlight":9007199254740992}`, "is not in 0.."},
		"inFlight over 64 bits":        {`{"version":1,"inFlight":99999999999999999999}`, "not an integer"},
		"inFlight twice":               {`{"version":1,"inFlight":3,"inFlight":0}`, "given twice"},
		"inFlight twice, escaped":      {`{"version":1,"inFlight":3,"in\u0046light":0}`, "given twice"},
		"inFlight NaN":                 {`{"version":1,"inFlight":NaN}`, "broken JSON"},
		"longLived negative":           {`{"version":1,"inFlight":0,"longLived":-3}`, `"longLived"`},
		"an age that is negative":      {`{"version":1,"inFlight":0,"oldestInFlightSeconds":-1}`, `"oldestInFlightSeconds"`},
		"an age beyond belief":         {`{"version":1,"inFlight":0,"oldestInFlightSeconds":1e300}`, `"oldestInFlightSeconds"`},
		"a connection from the future": {`{"version":1,"inFlight":0,"oldestLongLivedSeconds":-0.001}`, `"oldestLongLivedSeconds"`},
		"a connection beyond belief":   {`{"version":1,"inFlight":0,"oldestLongLivedSeconds":1000000001}`, `"oldestLongLivedSeconds"`},
		"a connection's age as text":   {`{"version":1,"inFlight":0,"oldestLongLivedSeconds":"1"}`, `"oldestLongLivedSeconds"`},
		"a connection's age twice":     {`{"version":1,"inFlight":0,"oldestLongLivedSeconds":1,"oldestLongLivedSeconds":2}`, "twice"},
		"an age that overflows":        {`{"version":1,"inFlight":0,"oldestInFlightSeconds":1e999}`, `"oldestInFlightSeconds"`},
		"draining as a number":         {`{"version":1,"inFlight":0,"draining":1}`, `"draining"`},
		"nested without end":           {strings.Repeat(`{"a":`, 12_000), "broken JSON"},
		"one byte more than allowed":   {`{"version":1,"inFlight":0}` + strings.Repeat(" ", MaxBodyBytes), "too large"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(tc.body))
			if err == nil {
				t.Fatalf("took it for %+v", got)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %q does not say %q", err, tc.want)
			}
		})
	}
}

func TestParseErrorsAreTold(t *testing.T) {
	if _, err := Parse([]byte(`{"version":2,"inFlight":0}`)); !errors.Is(err, ErrVersion) {
		t.Errorf("a newer version gives %v, want ErrVersion", err)
	}
	if _, err := Parse(make([]byte, MaxBodyBytes+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a huge body gives %v, want ErrTooLarge", err)
	}
}

func TestParseNotification(t *testing.T) {
	tests := map[string]struct {
		body string
		want Notification
		ok   bool
	}{
		"start":         {`{"draining": true}`, Notification{Draining: true}, true},
		"stop":          {`{"draining": false, "by": "drain-operator"}`, Notification{}, true},
		"not said":      {`{}`, Notification{}, false},
		"null":          {`{"draining": null}`, Notification{}, false},
		"as text":       {`{"draining": "true"}`, Notification{}, false},
		"said twice":    {`{"draining": true, "draining": false}`, Notification{}, false},
		"garbage after": {`{"draining": true} true`, Notification{}, false},
		"a notice": {
			`{"draining": true, "notice": {"afterSeconds": 5, "seconds": 10, "more": true}}`,
			Notification{Draining: true, Notice: &Notice{AfterSeconds: 5, Seconds: 10}}, true,
		},
		"a notice of which nothing is said": {`{"draining": true, "notice": {}}`, Notification{Draining: true, Notice: &Notice{}}, true},
		"a notice that is not known":        {`{"draining": true, "notice": null}`, Notification{Draining: true}, true},
		"a notice that is none":             {`{"draining": true, "notice": 10}`, Notification{}, false},
		"a notice in the past":              {`{"draining": true, "notice": {"afterSeconds": -1}}`, Notification{}, false},
		"the longest notice":                {`{"draining": true, "notice": {"seconds": 3600}}`, Notification{Draining: true, Notice: &Notice{Seconds: 3600}}, true},
		"a notice without end":              {`{"draining": true, "notice": {"seconds": 3601}}`, Notification{}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseNotification([]byte(tc.body))
			if (err == nil) != tc.ok {
				t.Fatalf("got %+v, %v", got, err)
			}
			if diff := cmp.Diff(tc.want, got); tc.ok && diff != "" {
				t.Errorf("notification (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNotificationIsParsed(t *testing.T) {
	tests := map[string]struct {
		notification Notification
		body         string
	}{
		"without a notice": {Notification{Draining: true}, `{"draining":true}`},
		"with one": {
			Notification{Draining: true, Notice: &Notice{AfterSeconds: 5, Seconds: 10}},
			`{"draining":true,"notice":{"afterSeconds":5,"seconds":10}}`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			body, err := tc.notification.Encode()
			if err != nil || string(body) != tc.body {
				t.Errorf("body %s, %v, want %s", body, err, tc.body)
			}
			got, err := ParseNotification(body)
			if diff := cmp.Diff(tc.notification, got); err != nil || diff != "" {
				t.Errorf("%v, notification (-encoded +parsed):\n%s", err, diff)
			}
		})
	}
}

func TestEncodeIsParsed(t *testing.T) {
	want := Status{Version: 1, Draining: true, InFlight: 3, LongLived: 12, OldestInFlightSeconds: 1.25, OldestLongLivedSeconds: 86400.5}
	body, err := Encode(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-encoded +parsed):\n%s", diff)
	}
}

// What Parse takes it takes again after Encode, and it never believes a count
// out of bounds.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"version":1,"draining":true,"inFlight":3,"longLived":12,"oldestInFlightSeconds":1.2}`,
		`{"version":1,"inFlight":0,"longLived":12,"oldestLongLivedSeconds":86400.25}`,
		`{"version":1,"inFlight":0}`, `{"version":2,"inFlight":0}`, `{"inFlight":-1}`, `{"a":[{"b":null}]}`, `{`, ``, "\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := Parse(body)
		if err != nil {
			if diff := cmp.Diff(Status{}, s); diff != "" {
				t.Errorf("an error comes with a status:\n%s", diff)
			}
			return
		}
		if s.Version != Version || s.InFlight < 0 || s.InFlight > MaxCount || s.LongLived < 0 || s.OldestInFlightSeconds < 0 ||
			s.OldestLongLivedSeconds < 0 || s.OldestLongLivedSeconds > maxAgeSeconds {
			t.Errorf("believed %+v", s)
		}
		if !strings.Contains(string(body), `0`) && s.Drained(Exclude) {
			t.Errorf("drained without a 0 in %q", body)
		}
		again, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := Parse(again); err != nil || back != s {
			t.Errorf("%+v came back as %+v, %v", s, back, err)
		}
	})
}
