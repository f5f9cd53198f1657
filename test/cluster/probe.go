package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// probe says whether a component answers.
type probe func(context.Context) error

const probeTimeout = 2 * time.Second

// insecure stands for a server with a certificate that it signed itself.
const insecure = "insecure"

func dialProbe(network, address string) probe {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// httpProbe wants status 200 of url. ca is the file of the server's authority,
// insecure, or empty for plain HTTP.
func httpProbe(url, ca string) probe {
	return func(ctx context.Context) error {
		config, err := probeTLS(ca)
		if err != nil {
			return err
		}
		client := &http.Client{
			Timeout:   probeTimeout,
			Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true},
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s: %s", url, resp.Status, body)
		}
		return nil
	}
}

func probeTLS(ca string) (*tls.Config, error) {
	switch ca {
	case "":
		return nil, nil
	case insecure:
		return &tls.Config{InsecureSkipVerify: true}, nil // on loopback
	}
	data, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, errors.New("no certificate in " + ca)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
