package certs

import (
	"fmt"
	"net"
	"time"

	certutil "k8s.io/client-go/util/cert"
)

// backdated is how long before its making a certificate of client-go's
// starts to be valid, for clocks that differ.
const backdated = time.Hour

// Made is a new serving certificate, followed by its CA, and its key, as PEM.
type Made struct {
	Cert, Key []byte
}

// Make makes a serving certificate with a CA of its own.
func Make(terms Terms) (Made, error) {
	opts := certutil.SelfSignedCertKeyOptions{Host: terms.Hosts[0], MaxAge: terms.Validity + backdated}
	for _, host := range terms.Hosts[1:] {
		if ip := net.ParseIP(host); ip != nil {
			opts.AlternateIPs = append(opts.AlternateIPs, ip)
		} else {
			opts.AlternateDNS = append(opts.AlternateDNS, host)
		}
	}
	cert, key, err := certutil.GenerateSelfSignedCertKeyWithOptions(opts)
	if err != nil {
		return Made{}, fmt.Errorf("making a certificate for %v: %w", terms.Hosts, err)
	}
	return Made{Cert: cert, Key: key}, nil
}
