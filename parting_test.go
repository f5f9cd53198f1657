package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/drain-operator/drain-operator/internal/certs"
)

// A replica ends while an API server asks it without a pause, and new
// connections lead to another replica: no request is lost.
func TestNoRequestIsLostWhenAReplicaEnds(t *testing.T) {
	made, err := certs.Make(certs.Terms{Hosts: []string{"127.0.0.1"}, Validity: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(made.Cert, made.Key)
	if err != nil {
		t.Fatal(err)
	}
	stays := startReplica(t, pair)
	asked, lost := 0, 0
	for range 5 {
		goes := startReplica(t, pair)
		n, failed := askWhileItEnds(t, goes, stays)
		asked, lost = asked+n, lost+len(failed)
		for _, err := range failed {
			t.Log(err)
		}
	}
	if asked < 100 || lost > 0 {
		t.Errorf("%d of %d requests were lost", lost, asked)
	}
}

// replica is a webhook server as the manager runs it.
type replica struct {
	address string
	// end is SIGTERM; ended is closed when the server has stopped.
	end   context.CancelFunc
	ended chan struct{}
}

func startReplica(t *testing.T, pair tls.Certificate) replica {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	t.Cleanup(end)
	r := replica{address: freeAddress(t), end: end, ended: make(chan struct{})}
	_, port, _ := net.SplitHostPort(r.address)
	server := partingServer{told: ctx, Server: ctrlwebhook.NewServer(ctrlwebhook.Options{
		Host: "127.0.0.1", Port: mustAtoi(t, port),
		TLSOpts: []func(*tls.Config){func(c *tls.Config) {
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }
		}},
	})}
	server.Register("/inject", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	go func() {
		defer close(r.ended)
		if err := server.Start(later(ctx, 200*time.Millisecond)); err != nil {
			t.Error(err)
		}
	}()
	awaitListening(t, r.address)
	return r
}

// askers ask at the same time, each on a connection of its own.
const askers = 4

// askWhileItEnds asks without a pause, over HTTP/1.1 as API servers do,
// until the replica has stopped. It returns how often, and what was lost.
func askWhileItEnds(t *testing.T, goes, stays replica) (asked int, failed []error) {
	t.Helper()
	var target atomic.Pointer[string]
	target.Store(&goes.address)
	dialer := &net.Dialer{}
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}, //nolint:gosec // whom it asks is not the matter
		MaxIdleConnsPerHost: askers,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, *target.Load())
			if err != nil {
				return nil, err
			}
			return newLagging(conn), nil
		},
	}}
	defer client.CloseIdleConnections()
	var mu sync.Mutex
	var asking sync.WaitGroup
	for range askers {
		asking.Go(func() {
			for {
				err := ask(client)
				mu.Lock()
				asked++
				if err != nil {
					failed = append(failed, err)
				}
				mu.Unlock()
				select {
				case <-goes.ended:
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
	for range 5 { // connections are made
		if err := ask(client); err != nil {
			failed = append(failed, err)
		}
	}
	target.Store(&stays.address) // as endpoints and kube-proxy have it
	goes.end()
	asking.Wait()
	return asked, failed
}

func ask(client *http.Client) error {
	resp, err := client.Post("https://webhook/inject", "application/json", bytes.NewReader([]byte("{}")))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.ProtoMajor != 1 {
		err = fmt.Errorf("asked by %s, not as an API server does", resp.Proto)
	}
	return err
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func mustAtoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func awaitListening(t *testing.T, address string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// lag is how long what a client sends is under way: on loopback it would be too
// short for anything to cross it.
const lag = 5 * time.Millisecond

// lagging is a connection on which what is sent arrives later.
type lagging struct {
	net.Conn
	sent chan []byte
}

func newLagging(conn net.Conn) *lagging {
	l := &lagging{conn, make(chan []byte, 1000)}
	go func() {
		for data := range l.sent {
			time.Sleep(lag)
			_, _ = conn.Write(data) // the reader learns of the connection's end
		}
	}()
	return l
}

func (l *lagging) Write(data []byte) (int, error) {
	l.sent <- bytes.Clone(data)
	return len(data), nil
}
