package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"time"

	certutil "k8s.io/client-go/util/cert"
)

// maxRetired bounds how many CAs are trusted that nothing is given with any
// more: a bundle is part of an object, and objects have a size.
const maxRetired = 8

// handover is how a replica goes from a certificate that somebody else has made
// to the next one. What a CA has signed that API servers know is served at
// once. With a CA that they do not know yet a certificate waits until they have
// been told, and the old CA is trusted until every replica has let go of it:
// all see the same Secret and the same bundles, and take the same time.
//
// It is pure: a value, and functions that return the next.
type handover struct {
	// serving is what is shown, nil before there was any. next is what waits.
	serving, next *given
	// told is since when API servers have known the CA of next; zero while they do not.
	told time.Time
	// retired are CAs to trust for a while. The youngest come last.
	retired []retiredCA
}

// given is what a Secret held: a certificate, and the CAs that it came with.
type given struct {
	cert tls.Certificate
	cas  []*x509.Certificate
}

type retiredCA struct {
	ca    *x509.Certificate
	until time.Time
}

// take is for data that the Secret has now, the same as before perhaps. What
// cannot be served changes nothing and is an error.
func (h handover) take(data map[string][]byte, hosts []string, now time.Time, overlap time.Duration) (handover, error) {
	if err := CheckGiven(data, hosts, now); err != nil {
		return h, err
	}
	cert, err := tls.X509KeyPair(data[KeyCert], data[KeyKey])
	if err != nil {
		return h, err
	}
	taken := &given{cert, parseCAs(data[KeyBundle])}
	switch {
	case taken.equal(h.next):
		return h, nil
	case h.next == nil && taken.equal(h.serving):
		return h, nil
	case h.serving == nil, !h.serving.serves(h.serving.cas, hosts, now), taken.serves(h.serving.cas, hosts, now):
		return h.show(taken, now.Add(overlap)), nil
	}
	if h.next == nil || !taken.serves(h.next.cas, hosts, now) {
		h.told = time.Time{}
	}
	h = h.retire(h.next, now.Add(overlap))
	h.next = taken
	return h, nil
}

// look is for the bundles that API servers have been given, none when no
// webhook is registered. It says when what waits is shown.
func (h handover) look(published [][]byte, hosts []string, now time.Time, overlap time.Duration) handover {
	if h.next == nil {
		return h
	}
	unknown := slices.ContainsFunc(published, func(bundle []byte) bool { return !h.next.serves(parseCAs(bundle), hosts, now) })
	switch {
	case len(published) == 0, !h.serving.serves(h.serving.cas, hosts, now.Add(overlap/10)): // nobody asks, or nobody would accept it much longer
		return h.show(h.next, now.Add(overlap))
	case unknown:
		h.told = time.Time{}
	case h.told.IsZero():
		h.told = now
	case !now.Before(h.told.Add(overlap)):
		return h.show(h.next, now.Add(overlap))
	}
	return h
}

// show has a certificate served, and what was there before trusted for a while.
func (h handover) show(next *given, until time.Time) handover {
	before := h
	h.serving, h.next, h.told = next, nil, time.Time{}
	for _, old := range []*given{before.serving, before.next} {
		if old != next {
			h = h.retire(old, until)
		}
	}
	return h
}

// adopt has the CAs of published bundles trusted, too: a process that has just
// started does not know what the others still show.
func (h handover) adopt(published [][]byte, until time.Time) handover {
	for _, bundle := range published {
		h = h.retire(&given{cas: parseCAs(bundle)}, until)
	}
	return h
}

func (h handover) retire(old *given, until time.Time) handover {
	if old == nil {
		return h
	}
	h.retired = slices.Clone(h.retired)
	for _, ca := range old.cas {
		h.retired = slices.DeleteFunc(h.retired, func(r retiredCA) bool { return r.ca.Equal(ca) })
		h.retired = append(h.retired, retiredCA{ca, until})
	}
	h.retired = h.retired[max(0, len(h.retired)-maxRetired):]
	return h
}

// bundle is what API servers should trust, as PEM, and when it will be less;
// zero if it stays as it is. It is empty as long as nothing was given.
func (h handover) bundle(now time.Time) (bundle []byte, changes time.Time) {
	var cas []*x509.Certificate
	for _, g := range []*given{h.next, h.serving} {
		if g != nil {
			cas = append(cas, g.cas...)
		}
	}
	if len(cas) == 0 {
		return nil, time.Time{}
	}
	for _, r := range h.retired {
		over := r.until
		if r.ca.NotAfter.Before(over) {
			over = r.ca.NotAfter
		}
		if !over.After(now) || slices.ContainsFunc(cas, r.ca.Equal) {
			continue
		}
		cas = append(cas, r.ca)
		if changes.IsZero() || over.Before(changes) {
			changes = over
		}
	}
	return encodeCAs(cas), changes
}

func (g *given) equal(other *given) bool {
	return other != nil && slices.EqualFunc(g.cert.Certificate, other.cert.Certificate, bytes.Equal) &&
		slices.EqualFunc(g.cas, other.cas, (*x509.Certificate).Equal)
}

// serves says that clients that trust these CAs accept the certificate.
func (g *given) serves(cas []*x509.Certificate, hosts []string, now time.Time) bool {
	return verify(g.cert, cas, hosts, now) == nil
}

// parseCAs leaves out what is no certificate: the API server would refuse the whole.
func parseCAs(bundle []byte) []*x509.Certificate {
	var cas []*x509.Certificate
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		ca, err := x509.ParseCertificate(block.Bytes)
		if block.Type == certutil.CertificateBlockType && err == nil && !slices.ContainsFunc(cas, ca.Equal) {
			cas = append(cas, ca)
		}
	}
	return cas
}

func encodeCAs(cas []*x509.Certificate) []byte {
	var bundle []byte
	for i, ca := range cas {
		if !slices.ContainsFunc(cas[:i], ca.Equal) {
			bundle = append(bundle, pem.EncodeToMemory(&pem.Block{Type: certutil.CertificateBlockType, Bytes: ca.Raw})...)
		}
	}
	return bundle
}
