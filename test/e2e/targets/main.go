// Command targets tells a Prometheus what to scrape, in the form of its
// http_sd_configs: the pods with a label, each with its namespace and name.
// Debian builds Prometheus without the discovery of Kubernetes.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
)

// account is where the kubelet puts what a pod needs to speak to the API server.
const account = "/var/run/secrets/kubernetes.io/serviceaccount/"

func main() {
	listen := flag.String("listen", "127.0.0.1:9099", "address to answer at")
	selector := flag.String("selector", "scraped=yes", "label selector of the pods")
	port := flag.Int("port", 8081, "port of their metrics")
	flag.Parse()
	if err := run(*listen, *selector, *port); err != nil {
		fmt.Fprintln(os.Stderr, "targets:", err)
		os.Exit(1)
	}
}

func run(listen, selector string, port int) error {
	client, err := apiClient()
	if err != nil {
		return err
	}
	handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		found, err := pods(r.Context(), client, selector)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadGateway)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(groups(found, port))
	})
	return (&http.Server{Addr: listen, Handler: handler, ReadHeaderTimeout: 10 * time.Second}).ListenAndServe()
}

func apiClient() (*http.Client, error) {
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, errors.New("ca.crt holds no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}, nil
}

// podList is what is read of pods.
type podList struct {
	Items []struct {
		Metadata struct{ Namespace, Name string }
		Status   struct{ Phase, PodIP string }
	}
}

func pods(ctx context.Context, client *http.Client, selector string) (found podList, err error) {
	host := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	address := url.URL{Scheme: "https", Host: host, Path: "/api/v1/pods", RawQuery: url.Values{"labelSelector": {selector}}.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), http.NoBody)
	if err != nil {
		return found, err
	}
	token, err := os.ReadFile(account + "token") // it is renewed
	if err != nil {
		return found, err
	}
	req.Header.Set("Authorization", "Bearer "+string(token))
	resp, err := client.Do(req)
	if err != nil {
		return found, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return found, fmt.Errorf("the API server answered %s", resp.Status)
	}
	return found, json.NewDecoder(resp.Body).Decode(&found)
}

// group is one entry of what Prometheus wants to be told.
type group struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

func groups(found podList, port int) []group {
	all := []group{}
	for _, pod := range found.Items {
		if pod.Status.Phase == "Running" && pod.Status.PodIP != "" {
			all = append(all, group{
				Targets: []string{net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(port))},
				Labels:  map[string]string{"namespace": pod.Metadata.Namespace, "pod": pod.Metadata.Name},
			})
		}
	}
	return all
}
