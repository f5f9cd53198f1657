package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// CheckGiven checks what somebody else, such as cert-manager, has put into the
// Secret: a certificate and its key that belong together, valid now and for all
// hosts, and signed by a CA of the bundle. A server that shows anything else
// would answer no API server.
func CheckGiven(data map[string][]byte, hosts []string, now time.Time) error {
	if len(data[KeyCert]) == 0 || len(data[KeyKey]) == 0 {
		return fmt.Errorf("the Secret has no %s, or no %s", KeyCert, KeyKey)
	}
	loaded, err := tls.X509KeyPair(data[KeyCert], data[KeyKey])
	if err != nil {
		return fmt.Errorf("certificate or key is broken: %w", err)
	}
	cas := parseCAs(data[KeyBundle])
	if len(cas) == 0 {
		return fmt.Errorf("the Secret has no certificate in %s: its issuer must say which CA API servers should trust", KeyBundle)
	}
	return verify(loaded, cas, hosts, now)
}

// verify says why a client that trusts these CAs would not accept a certificate.
func verify(cert tls.Certificate, cas []*x509.Certificate, hosts []string, now time.Time) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, ca := range cas {
		roots.AddCert(ca)
	}
	for _, raw := range cert.Certificate[1:] {
		if parsed, err := x509.ParseCertificate(raw); err == nil { // what is no certificate signs nothing
			between.AddCert(parsed)
		}
	}
	var errs []error
	for _, host := range hosts {
		options := x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: between, CurrentTime: now}
		if _, err := cert.Leaf.Verify(options); err != nil {
			errs = append(errs, fmt.Errorf("certificate does not serve %s: %w", host, err))
		}
	}
	return errors.Join(errs...)
}
