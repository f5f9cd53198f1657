package certs

import (
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"
)

func TestCheckGiven(t *testing.T) {
	terms, now := terms(), time.Now()
	made, other := mustMake(t, terms), mustMake(t, terms)
	ca, err := caOf(made.Cert)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := caOf(other.Cert)
	if err != nil {
		t.Fatal(err)
	}
	given := func(cert, key, bundle []byte) map[string][]byte {
		return map[string][]byte{KeyCert: cert, KeyKey: key, KeyBundle: bundle}
	}
	good := given(made.Cert, made.Key, ca)
	for name, tc := range map[string]struct {
		data  map[string][]byte
		hosts []string
		at    time.Time
		want  string // part of the error; empty when there is none
	}{
		"good":               {good, terms.Hosts, now, ""},
		"one CA of two":      {given(made.Cert, made.Key, append(append([]byte{}, stranger...), ca...)), terms.Hosts, now, ""},
		"empty":              {nil, terms.Hosts, now, "the Secret has no tls.crt"},
		"no key":             {given(made.Cert, nil, ca), terms.Hosts, now, "or no tls.key"},
		"another's key":      {given(made.Cert, other.Key, ca), terms.Hosts, now, "certificate or key is broken"},
		"no CA":              {given(made.Cert, made.Key, nil), terms.Hosts, now, "the Secret has no certificate in ca.crt"},
		"another's CA":       {given(made.Cert, made.Key, stranger), terms.Hosts, now, "signed by unknown authority"},
		"for somebody else":  {good, []string{"shop.example.com"}, now, "certificate does not serve shop.example.com"},
		"expired":            {good, terms.Hosts, now.Add(terms.Validity + time.Hour), "expired"},
		"two are not served": {good, []string{"a.example.com", "b.example.com"}, now, "b.example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckGiven(tc.data, tc.hosts, tc.at)
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("got %v, want none", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// What is not accepted leaves what is served as it is.
func TestServingKeepsWhatItHas(t *testing.T) {
	terms := terms()
	first := mustTake(t, StepIssue, nil, mustMake(t, terms))
	second := mustTake(t, StepIssue, nil, mustMake(t, terms))
	s := &Serving{Foreign: &Foreign{Hosts: terms.Hosts, Overlap: terms.Overlap, Clock: clock.RealClock{}}}
	if err := s.Check(nil); err == nil {
		t.Error("ready without a certificate")
	}
	if err := s.Load(first); err != nil {
		t.Fatal(err)
	}
	served, err := s.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, notAfter, ok := s.Validity(); !ok || !notAfter.Equal(served.Leaf.NotAfter) {
		t.Errorf("its validity ends at %s (%v), that of the certificate at %s", notAfter, ok, served.Leaf.NotAfter)
	}
	half := map[string][]byte{KeyCert: second[KeyCert], KeyKey: second[KeyKey], KeyBundle: first[KeyBundle]}
	if err := s.Load(half); err == nil {
		t.Error("a certificate of a CA that is not in the bundle is accepted")
	}
	if now, _ := s.GetCertificate(nil); now != served {
		t.Error("it is served")
	}
}
