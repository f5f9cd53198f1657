package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"
)

func terms() Terms {
	return Terms{Hosts: []string{"webhook.ns.svc", "127.0.0.1"}, Validity: 90 * 24 * time.Hour, Overlap: 10 * time.Minute}
}

func mustMake(t *testing.T, terms Terms) Made {
	t.Helper()
	made, err := Make(terms)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func mustTake(t *testing.T, step Step, data map[string][]byte, made Made) map[string][]byte {
	t.Helper()
	taken, err := Take(step, data, made)
	if err != nil {
		t.Fatal(err)
	}
	return taken
}

// accepts reports whether a client that trusts the bundle accepts what is served.
func accepts(bundle, cert, key []byte, at time.Time) bool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "webhook.ns.svc", CurrentTime: at})
	return err == nil
}

// A whole life: whatever step a client's bundle and a replica's certificate
// are from, when they are at most one step apart the client accepts it.
func TestRotationNeverMeetsAClientThatDoesNotTrustIt(t *testing.T) {
	terms, now := terms(), time.Now()
	var data map[string][]byte
	var stepped time.Time
	take := func(want Step, published [][]byte) map[string][]byte {
		t.Helper()
		if got := Decide(data, terms, stepped, published, now); got.Step != want {
			t.Fatalf("got %+v, want %s", got, want)
		}
		before := data
		data, stepped = mustTake(t, want, data, mustMake(t, terms)), now
		return before
	}
	bothWays := func(before map[string][]byte) {
		t.Helper()
		if !accepts(before[KeyBundle], data[KeyCert], data[KeyKey], now) {
			t.Error("a client that is a step behind refuses the certificate")
		}
		if !accepts(data[KeyBundle], before[KeyCert], before[KeyKey], now) {
			t.Error("a client that is a step ahead refuses the old certificate")
		}
	}

	take(StepIssue, nil)
	renewal := Decide(data, terms, stepped, [][]byte{data[KeyBundle]}, now)
	if renewal.Step != StepWait || renewal.Again.Before(now.Add(59*24*time.Hour)) || renewal.Again.After(now.Add(61*24*time.Hour)) {
		t.Fatalf("after the issue: %+v", renewal)
	}
	now = renewal.Again
	first := data[KeyBundle]
	bothWays(take(StepAnnounce, [][]byte{first}))
	if got := Decide(data, terms, stepped, [][]byte{data[KeyBundle]}, now.Add(time.Minute)); got.Step != StepWait || !got.Again.Equal(now.Add(terms.Overlap)) {
		t.Errorf("too early to promote: %+v", got)
	}
	now = now.Add(terms.Overlap)
	if got := Decide(data, terms, stepped, [][]byte{first}, now); got.Step != StepWait {
		t.Errorf("the API servers have not been given the next CA: %+v", got)
	}
	if got := Decide(data, terms, stepped, [][]byte{data[KeyBundle], first}, now); got.Step != StepWait {
		t.Errorf("one of the webhooks has not been given the next CA: %+v", got)
	}
	bothWays(take(StepPromote, [][]byte{data[KeyBundle], data[KeyBundle]}))
}

func TestRetireWhenTheNewCertificateIsServedLongEnough(t *testing.T) {
	terms, now := terms(), time.Now()
	old := mustTake(t, StepIssue, nil, mustMake(t, terms))
	announced := mustTake(t, StepAnnounce, old, mustMake(t, terms))
	promoted := mustTake(t, StepPromote, announced, Made{})
	if got := Decide(promoted, terms, now, [][]byte{promoted[KeyBundle]}, now); got.Step != StepWait || !got.Again.Equal(now.Add(terms.Overlap)) {
		t.Errorf("too early: %+v", got)
	}
	got := Decide(promoted, terms, now.Add(-terms.Overlap), [][]byte{promoted[KeyBundle]}, now)
	if got.Step != StepRetire {
		t.Fatalf("got %+v", got)
	}
	retired := mustTake(t, StepRetire, promoted, Made{})
	if bytes.Contains(retired[KeyBundle], old[KeyBundle]) {
		t.Error("the old CA is still in the bundle")
	}
	if !accepts(retired[KeyBundle], retired[KeyCert], retired[KeyKey], now) {
		t.Error("the bundle does not fit the certificate")
	}
	if got := Decide(retired, terms, now, [][]byte{retired[KeyBundle]}, now); got.Step != StepWait {
		t.Errorf("then there is nothing to do: %+v", got)
	}
}

func TestIssueWhatCannotBeUsed(t *testing.T) {
	terms, now := terms(), time.Now()
	good := mustTake(t, StepIssue, nil, mustMake(t, terms))
	other := mustTake(t, StepIssue, nil, mustMake(t, terms))
	changed := func(key string, value []byte) map[string][]byte {
		data := map[string][]byte{KeyCert: good[KeyCert], KeyKey: good[KeyKey], KeyBundle: good[KeyBundle]}
		data[key] = value
		return data
	}
	for name, tc := range map[string]struct {
		data  map[string][]byte
		terms Terms
		now   time.Time
		want  Step
	}{
		"good":                      {good, terms, now, StepWait},
		"nothing":                   {nil, terms, now, StepIssue},
		"garbage":                   {changed(KeyCert, []byte("x")), terms, now, StepIssue},
		"another key":               {changed(KeyKey, other[KeyKey]), terms, now, StepIssue},
		"another bundle":            {changed(KeyBundle, other[KeyBundle]), terms, now, StepIssue},
		"no bundle":                 {changed(KeyBundle, nil), terms, now, StepIssue},
		"expired":                   {good, terms, now.Add(terms.Validity + time.Hour), StepIssue},
		"for other hosts":           {good, Terms{Hosts: []string{"elsewhere"}, Validity: terms.Validity, Overlap: terms.Overlap}, now, StepIssue},
		"a third of the time left":  {good, terms, now.Add(terms.Validity*2/3 + time.Minute), StepAnnounce},
		"a broken next certificate": {changed(KeyNextCert, []byte("x")), terms, now.Add(terms.Validity*2/3 + time.Minute), StepAnnounce},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Decide(tc.data, tc.terms, time.Time{}, [][]byte{tc.data[KeyBundle]}, tc.now); got.Step != tc.want {
				t.Errorf("got %+v, want %s", got, tc.want)
			}
		})
	}
}

func TestServingKeepsWhatWorks(t *testing.T) {
	var serving Serving
	if serving.Check(nil) == nil {
		t.Error("ready without a certificate")
	}
	data := mustTake(t, StepIssue, nil, mustMake(t, terms()))
	if err := serving.Load(data); err != nil {
		t.Fatal(err)
	}
	if err := serving.Load(map[string][]byte{KeyCert: []byte("x")}); err == nil {
		t.Error("garbage was loaded")
	}
	if err := serving.Check(nil); err != nil {
		t.Errorf("what worked is gone: %v", err)
	}
}

func TestValidityIsThatOfTheCertificateShown(t *testing.T) {
	var serving Serving
	if _, _, ok := serving.Validity(); ok {
		t.Error("there is a validity without a certificate")
	}
	terms := terms()
	if err := serving.Load(mustTake(t, StepIssue, nil, mustMake(t, terms))); err != nil {
		t.Fatal(err)
	}
	notBefore, notAfter, ok := serving.Validity()
	now := time.Now()
	if !ok || now.Before(notBefore) || now.After(notAfter) || now.Add(terms.Validity+time.Minute).Before(notAfter) {
		t.Errorf("valid from %s to %s (%v), now is %s", notBefore, notAfter, ok, now)
	}
}
