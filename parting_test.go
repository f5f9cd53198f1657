package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
		if t.Failed() {
			return
		}
	}
	if asked < 100 || lost > 0 {
		t.Errorf("%d of %d requests were lost", lost, asked)
	}
}

// replica is a webhook server as the manager runs it.
type replica struct {
	address string
	// tell is SIGTERM, end is when the parting time is over; ended is closed
	// when the server has stopped.
	tell, end context.CancelFunc
	ended     chan struct{}
}

func startReplica(t *testing.T, pair tls.Certificate) replica {
	t.Helper()
	told, tell := context.WithCancel(context.Background())
	parted, end := context.WithCancel(context.Background())
	t.Cleanup(tell)
	t.Cleanup(end)
	r := replica{address: freeAddress(t), tell: tell, end: end, ended: make(chan struct{})}
	host, port, _ := net.SplitHostPort(r.address)
	server := partingServer{told: told, Server: ctrlwebhook.NewServer(ctrlwebhook.Options{
		Host: host, Port: mustAtoi(t, port),
		TLSOpts: []func(*tls.Config){func(c *tls.Config) {
			c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }
		}},
	})}
	server.Register("/inject", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	go func() {
		defer close(r.ended)
		if err := server.Start(parted); err != nil {
			t.Error(err)
		}
	}()
	awaitListening(t, r.address)
	return r
}

const (
	// askers ask at the same time, each on a connection of its own.
	askers = 4
	// asksBefore the replica is told to end: connections are made, and used.
	asksBefore = 5
)

// askWhileItEnds asks without a pause, over HTTP/1.1 as API servers do, until
// the replica has stopped, which it does as soon as everybody asks elsewhere. It
// returns how often, and what was lost.
func askWhileItEnds(t *testing.T, goes, stays replica) (asked int, failed []error) {
	t.Helper()
	var target atomic.Pointer[string]
	target.Store(&goes.address)
	var mu sync.Mutex
	var asking, begun, moved sync.WaitGroup
	for range askers {
		begun.Add(1)
		moved.Add(1)
		elsewhere := sync.OnceFunc(moved.Done)
		client := askerOf(&target, func(address string) {
			if address == stays.address {
				elsewhere()
			}
		})
		asking.Go(func() {
			defer client.CloseIdleConnections()
			for n := 1; ; n++ {
				err := ask(client)
				mu.Lock()
				asked++
				if err != nil {
					failed = append(failed, err)
				}
				mu.Unlock()
				if n == asksBefore {
					begun.Done()
				}
				select {
				case <-goes.ended:
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
	begun.Wait()
	target.Store(&stays.address) // as endpoints and kube-proxy have it
	goes.tell()
	awaitAll(t, "clients on other connections", &moved)
	goes.end()
	asking.Wait()
	return asked, failed
}

// askerOf is a client with one connection, to what is the target when it is
// made; connected hears of it.
func askerOf(target *atomic.Pointer[string], connected func(address string)) *http.Client {
	dialer := &net.Dialer{}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}, //nolint:gosec // whom it asks is not the matter
		MaxConnsPerHost: 1,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			address := *target.Load()
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			connected(address)
			return newLagging(conn), nil
		},
	}}
}

func awaitAll(t *testing.T, what string, all *sync.WaitGroup) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		all.Wait()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Errorf("there are no %s", what)
	}
}

// A replica goes on for its parting time after it is told to end, not less.
func TestLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told, tell := context.WithCancel(t.Context())
		ends := later(told, partingTime)
		time.Sleep(time.Hour)
		if ends.Err() != nil {
			t.Error("it ends though nobody told it to")
		}
		tell()
		began := time.Now()
		<-ends.Done()
		if took := time.Since(began); took != partingTime {
			t.Errorf("it goes on for %s, want %s", took, partingTime)
		}
	})
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

// freeAddress has a loopback address of this process's own: nobody else takes
// the port before the server does.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.81.%d.%d:0", os.Getpid()>>8&0xff, os.Getpid()&0xff))
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
	for deadline := time.Now().Add(30 * time.Second); ; {
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
