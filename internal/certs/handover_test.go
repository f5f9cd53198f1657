package certs

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// giver makes what somebody else would put into the Secret, and plays the API
// servers: they trust what was published last.
type giver struct {
	*testing.T
	*Foreign
	clock     *clocktesting.FakePassiveClock
	published [][]byte
}

func newGiver(t *testing.T) *giver {
	g := &giver{T: t, clock: clocktesting.NewFakePassiveClock(time.Now())}
	g.Foreign = g.replica()
	return g
}

// replica is one more, which has just started.
func (g *giver) replica() *Foreign {
	return &Foreign{
		Hosts: terms().Hosts, Overlap: terms().Overlap, Clock: g.clock,
		Published: func(context.Context) ([][]byte, error) { return g.published, nil },
	}
}

// made is what a new CA has signed, valid as long as terms say.
func (g *giver) made() map[string][]byte {
	g.Helper()
	now, validity := g.clock.Now(), terms().Validity
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(10 * validity), KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "webhook"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(validity),
		DNSNames: terms().Hosts[:1], IPAddresses: []net.IP{net.ParseIP(terms().Hosts[1])},
	}
	caKey, caRaw := g.sign(ca, ca, nil)
	key, raw := g.sign(leaf, ca, caKey)
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		g.Fatal(err)
	}
	block := func(kind string, raw []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw})
	}
	return map[string][]byte{KeyCert: block("CERTIFICATE", raw), KeyKey: block("PRIVATE KEY", encoded), KeyBundle: block("CERTIFICATE", caRaw)}
}

// sign signs with a parent's key, or with the new key where there is none.
func (g *giver) sign(cert, parent *x509.Certificate, by *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	g.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		g.Fatal(err)
	}
	if by == nil {
		by = key
	}
	raw, err := x509.CreateCertificate(rand.Reader, cert, parent, key.Public(), by)
	if err != nil {
		g.Fatal(err)
	}
	return key, raw
}

func (g *giver) give(replica *Foreign, data map[string][]byte) {
	g.Helper()
	if err := replica.take(data); err != nil {
		g.Fatal(err)
	}
}

// publish is what the leader does, whoever that is.
func (g *giver) publish(leader *Foreign, data map[string][]byte) (changes time.Time) {
	bundle, changes := leader.Bundle(data, g.published)
	g.published = [][]byte{bundle, bundle}
	return changes
}

func (g *giver) pass(d time.Duration, replicas ...*Foreign) {
	g.Helper()
	g.clock.SetTime(g.clock.Now().Add(d))
	for _, replica := range replicas {
		if err := replica.look(g.Context()); err != nil {
			g.Fatal(err)
		}
	}
}

// accepted says which certificate API servers get to see, and fails when they
// do not accept it.
func (g *giver) accepted(replica *Foreign, want map[string][]byte, when string) {
	g.Helper()
	shown := replica.shown()
	if !parseCAs(want[KeyCert])[0].Equal(shown.Leaf) {
		g.Errorf("%s: another certificate is shown", when)
	}
	for _, bundle := range g.published {
		if err := verify(*shown, parseCAs(bundle), replica.Hosts, g.clock.Now()); err != nil {
			g.Errorf("%s: %v", when, err)
		}
	}
}

func (g *giver) trusted(want int, when string) {
	g.Helper()
	for _, bundle := range g.published {
		if got := len(parseCAs(bundle)); got != want {
			g.Errorf("%s: %d CAs are trusted, want %d", when, got, want)
		}
	}
}

// With a new CA nobody ever shows API servers what they do not trust, and the
// old CA goes in the end.
func TestNewCAIsKnownBeforeItIsUsed(t *testing.T) {
	g := newGiver(t)
	leader, other := g.Foreign, g.replica()
	old, next := g.made(), g.made()
	for _, replica := range []*Foreign{leader, other} {
		g.give(replica, old)
	}
	g.publish(leader, old)
	g.trusted(1, "at first")

	g.give(other, next) // before the leader
	g.accepted(other, old, "nobody knows the new CA")
	g.pass(2*g.Overlap, leader, other)
	g.accepted(other, old, "nobody knows it for long")
	if again, want := g.publish(leader, next), g.clock.Now().Add(g.Overlap); !again.Equal(want) {
		t.Errorf("the leader looks again at %v, want %v", again, want)
	}
	g.trusted(2, "announced")
	g.give(leader, next)
	g.pass(time.Second, leader, other)
	g.pass(g.Overlap-time.Second, leader, other)
	g.accepted(leader, old, "too early")
	g.accepted(other, old, "too early")
	g.pass(time.Second, leader)
	g.accepted(leader, next, "known for long enough")
	g.accepted(other, old, "a replica that is late")
	retired := g.publish(leader, next)
	g.trusted(2, "shown")
	g.pass(time.Second, other)
	g.accepted(other, next, "known for long enough")

	if want := g.clock.Now().Add(g.Overlap - time.Second); !retired.Equal(want) {
		t.Errorf("the old CA goes at %v, want %v", retired, want)
	}
	g.clock.SetTime(retired)
	if !g.publish(leader, next).IsZero() {
		t.Error("the bundle will change once more")
	}
	g.trusted(1, "in the end")
	g.accepted(leader, next, "in the end")
}

func TestHandover(t *testing.T) {
	signed := func(g *giver) (first, second map[string][]byte) {
		first, second = g.made(), g.made()
		both := append(bytes.Clone(first[KeyBundle]), second[KeyBundle]...)
		first[KeyBundle] = both
		return first, second
	}
	for name, play := range map[string]func(g *giver){
		"a CA that came along before is shown at once, the other goes later": func(g *giver) {
			first, second := signed(g)
			g.give(g.Foreign, first)
			g.publish(g.Foreign, first)
			g.give(g.Foreign, second)
			g.publish(g.Foreign, second)
			g.accepted(g.Foreign, second, "at once")
			g.trusted(2, "others may be late")
			g.pass(g.Overlap)
			g.publish(g.Foreign, second)
			g.trusted(1, "all have it")
		},
		"where nothing is registered a new CA is shown at once": func(g *giver) {
			first, second := g.made(), g.made()
			g.give(g.Foreign, first)
			g.give(g.Foreign, second)
			g.pass(time.Second, g.Foreign)
			g.accepted(g.Foreign, second, "nobody asks")
		},
		"a certificate that ends waits for nobody": func(g *giver) {
			first := g.made()
			g.give(g.Foreign, first)
			g.publish(g.Foreign, first)
			g.pass(terms().Validity - terms().Overlap/20)
			second := g.made()
			g.give(g.Foreign, second)
			g.publish(g.Foreign, second)
			g.pass(time.Second, g.Foreign)
			g.accepted(g.Foreign, second, "the first has ended")
		},
		"a certificate that has ended is replaced at once": func(g *giver) {
			g.give(g.Foreign, g.made())
			g.pass(terms().Validity + time.Hour)
			second := g.made()
			g.give(g.Foreign, second)
			g.accepted(g.Foreign, second, "there is nothing to lose")
		},
		"the old one that is put back stays": func(g *giver) {
			first, second := g.made(), g.made()
			g.give(g.Foreign, first)
			g.publish(g.Foreign, first)
			g.give(g.Foreign, second)
			g.publish(g.Foreign, second)
			g.give(g.Foreign, first)
			g.publish(g.Foreign, first)
			g.trusted(2, "another replica may show it")
			g.pass(g.Overlap, g.Foreign)
			g.pass(g.Overlap, g.Foreign)
			g.publish(g.Foreign, first)
			g.accepted(g.Foreign, first, "still")
			g.trusted(1, "in the end")
		},
		"a new leader that knows one only trusts what was published": func(g *giver) {
			first, second := g.made(), g.made()
			g.give(g.Foreign, first)
			g.publish(g.Foreign, first)
			g.give(g.Foreign, second)
			g.publish(g.Foreign, second)
			leader := g.replica()
			changes := g.publish(leader, second)
			g.accepted(leader, second, "it has nothing else")
			g.accepted(g.Foreign, first, "the other one waits")
			g.pass(time.Second, g.Foreign)
			g.pass(g.Overlap, g.Foreign)
			g.accepted(g.Foreign, second, "it has waited")
			g.clock.SetTime(changes)
			g.publish(leader, second)
			g.trusted(1, "in the end")
		},
		"what is no good changes nothing": func(g *giver) {
			first := g.made()
			g.give(g.Foreign, first)
			g.publish(g.Foreign, first)
			for what, data := range map[string]map[string][]byte{
				"nothing": nil, "no CA": {KeyCert: first[KeyCert], KeyKey: first[KeyKey]},
				"another's CA": {KeyCert: first[KeyCert], KeyKey: first[KeyKey], KeyBundle: g.made()[KeyBundle]},
			} {
				if err := g.take(data); err == nil {
					g.Errorf("%s is taken", what)
				}
				g.publish(g.Foreign, data)
				g.accepted(g.Foreign, first, what)
				g.trusted(1, what)
			}
		},
		"a process that has seen nothing good publishes nothing": func(g *giver) {
			if bundle, _ := g.Bundle(map[string][]byte{KeyBundle: g.made()[KeyBundle]}, nil); bundle != nil {
				g.Errorf("published: %s", bundle)
			}
		},
		"bundles do not grow without end": func(g *giver) {
			for range 3 * maxRetired {
				data := g.made()
				g.give(g.Foreign, data)
				g.publish(g.Foreign, data)
			}
			g.trusted(maxRetired+2, "many CAs")
		},
	} {
		t.Run(name, func(t *testing.T) { play(newGiver(t)) })
	}
}

func TestLookNeedsThePublishedBundles(t *testing.T) {
	g := newGiver(t)
	first, second := g.made(), g.made()
	g.give(g.Foreign, first)
	unknown := errors.New("no API server")
	g.Published = func(context.Context) ([][]byte, error) { return nil, unknown }
	if err := g.look(t.Context()); err != nil {
		t.Errorf("nothing waits: %v", err)
	}
	g.give(g.Foreign, second)
	if err := g.look(t.Context()); !errors.Is(err, unknown) {
		t.Errorf("got %v", err)
	}
	g.accepted(g.Foreign, first, "nothing is known")
}
