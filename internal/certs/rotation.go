// Package certs makes, rotates and loads the certificate that the webhook
// server shows to the API server. It lives in one Secret of the operator's
// namespace: the leader writes it, every replica reads it.
//
// Each serving certificate has a CA of its own, whose key is thrown away once
// it has signed: nobody can make another certificate that the API server
// would trust. A rotation takes three steps, so that no API server ever meets
// a certificate that it does not trust yet: the next CA is announced in the
// bundle, the next certificate is served, the old CA is retired.
package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	certutil "k8s.io/client-go/util/cert"
)

// Keys of the Secret's data.
const (
	// KeyBundle holds the PEM certificates that clients should trust.
	KeyBundle = "ca.crt"
	// KeyCert and KeyKey are what is served: a certificate followed by its CA, and its key.
	KeyCert = "tls.crt"
	KeyKey  = "tls.key"
	// KeyNextCert and KeyNextKey are what will be served once its CA is known everywhere.
	KeyNextCert = "next.crt"
	KeyNextKey  = "next.key"
)

// Step of a rotation.
type Step string

const (
	// StepWait changes nothing.
	StepWait Step = "Wait"
	// StepIssue makes a certificate and serves it at once: there is none that works.
	StepIssue Step = "Issue"
	// StepAnnounce makes the next certificate and adds its CA to the bundle.
	StepAnnounce Step = "Announce"
	// StepPromote serves the next certificate.
	StepPromote Step = "Promote"
	// StepRetire takes CAs that nothing is served with any more out of the bundle.
	StepRetire Step = "Retire"
)

// Terms say how long certificates live and for whom they are.
type Terms struct {
	// Hosts that the certificate is for: DNS names or IP addresses, at least one.
	Hosts []string
	// Validity of a certificate. It is renewed when a third of it is left.
	Validity time.Duration
	// Overlap is the least time between two steps of a rotation: what API
	// servers and replicas may take to notice the one before.
	Overlap time.Duration
}

// Decision says what to do now, and if that is to wait, when to look again.
type Decision struct {
	Step Step
	// Reason of the step, for the log.
	Reason string
	// Again is when to look next; set with StepWait only.
	Again time.Time
}

// Decide says which step is due. data is the Secret's, stepped the time of the
// last step, published the bundles that the API servers have been given, none
// when no webhook is registered: all of them must know a CA before it is used.
func Decide(data map[string][]byte, terms Terms, stepped time.Time, published [][]byte, now time.Time) Decision {
	serving, err := parsePair(data[KeyCert], data[KeyKey], terms.Hosts, now)
	if err != nil {
		return Decision{Step: StepIssue, Reason: err.Error()}
	}
	if !containsCert(data[KeyBundle], serving.ca) {
		return Decision{Step: StepIssue, Reason: "the bundle lacks the CA of the serving certificate"}
	}
	renewal := serving.leaf.NotAfter.Add(-terms.Validity / 3)
	earliest := stepped.Add(terms.Overlap)
	next, err := parsePair(data[KeyNextCert], data[KeyNextKey], terms.Hosts, now)
	switch {
	case err != nil && now.Before(renewal):
		return betweenRotations(data, earliest, renewal, now)
	case err != nil || !containsCert(data[KeyBundle], next.ca):
		return Decision{Step: StepAnnounce, Reason: "a third of the validity is left"}
	case now.Before(earliest):
		return Decision{Step: StepWait, Again: earliest}
	case slices.ContainsFunc(published, func(bundle []byte) bool { return !containsCert(bundle, next.ca) }):
		return Decision{Step: StepWait, Again: now.Add(terms.Overlap)}
	}
	return Decision{Step: StepPromote, Reason: "the next CA is known"}
}

// betweenRotations is for the long time in which no rotation is due: what the last
// one left in the bundle goes, then there is nothing to do until the next.
func betweenRotations(data map[string][]byte, earliest, renewal, now time.Time) Decision {
	cas, err := certutil.ParseCertsPEM(data[KeyBundle])
	leftover := err != nil || len(cas) > 1 || len(data[KeyNextCert]) > 0
	switch {
	case leftover && now.Before(earliest):
		return Decision{Step: StepWait, Again: earliest}
	case leftover:
		return Decision{Step: StepRetire, Reason: "the old certificate is no longer served"}
	}
	return Decision{Step: StepWait, Again: renewal}
}

// Take carries out a step on the Secret's data and returns the new data. made
// is a fresh pair, needed by StepIssue and StepAnnounce only.
func Take(step Step, data map[string][]byte, made Made) (map[string][]byte, error) {
	switch step {
	case StepIssue:
		ca, err := caOf(made.Cert)
		return map[string][]byte{KeyCert: made.Cert, KeyKey: made.Key, KeyBundle: ca}, err
	case StepAnnounce:
		serving, err := caOf(data[KeyCert])
		next, errNext := caOf(made.Cert)
		return map[string][]byte{
			KeyCert: data[KeyCert], KeyKey: data[KeyKey],
			KeyNextCert: made.Cert, KeyNextKey: made.Key,
			KeyBundle: slices.Concat(serving, next),
		}, errors.Join(err, errNext)
	case StepPromote:
		return map[string][]byte{
			KeyCert: data[KeyNextCert], KeyKey: data[KeyNextKey], KeyBundle: data[KeyBundle],
		}, nil
	case StepRetire:
		ca, err := caOf(data[KeyCert])
		return map[string][]byte{KeyCert: data[KeyCert], KeyKey: data[KeyKey], KeyBundle: ca}, err
	}
	return data, nil
}

// pair is a serving certificate with the CA that signed it.
type pair struct {
	leaf, ca *x509.Certificate
}

// parsePair checks that cert and key belong together, and that the
// certificate is signed by the CA that follows it, valid now, and for all hosts.
func parsePair(cert, key []byte, hosts []string, now time.Time) (pair, error) {
	if len(cert) == 0 || len(key) == 0 {
		return pair{}, errors.New("there is no certificate")
	}
	loaded, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return pair{}, fmt.Errorf("certificate or key is broken: %w", err)
	}
	chain, err := certutil.ParseCertsPEM(cert)
	if err != nil || len(chain) != 2 || len(loaded.Certificate) != 2 {
		return pair{}, errors.New("certificate is not followed by its CA")
	}
	p := pair{leaf: chain[0], ca: chain[1]}
	roots := x509.NewCertPool()
	roots.AddCert(p.ca)
	for _, host := range hosts {
		if _, err := p.leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: now}); err != nil {
			return pair{}, fmt.Errorf("certificate does not serve %s: %w", host, err)
		}
	}
	return p, nil
}

// caOf returns the PEM of the CA that follows the certificate.
func caOf(cert []byte) ([]byte, error) {
	chain, err := certutil.ParseCertsPEM(cert)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	return certutil.EncodeCertificates(chain[len(chain)-1])
}

func containsCert(bundle []byte, want *x509.Certificate) bool {
	cas, err := certutil.ParseCertsPEM(bundle)
	return err == nil && slices.ContainsFunc(cas, func(ca *x509.Certificate) bool {
		return bytes.Equal(ca.Raw, want.Raw)
	})
}
