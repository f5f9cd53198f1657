package certs

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Foreign is what a replica knows of certificates that somebody else makes:
// what it shows, what waits, and which CAs API servers should trust. Each
// replica has one, fed by the same Secret. Safe for use by several goroutines.
type Foreign struct {
	// Hosts that a certificate must be for.
	Hosts []string
	// Overlap is the time that a new CA is known before anything is served
	// with it, and that an old one is trusted after that.
	Overlap time.Duration
	// Published returns the CA bundles of all registered webhooks, none when
	// none is registered.
	Published func(context.Context) ([][]byte, error)
	Clock     clock.PassiveClock

	mu      sync.Mutex
	state   handover
	adopted bool
}

// Bundle is what API servers should trust when the Secret has this data, as PEM,
// and when to ask again; zero when only new data can change it. published is
// what they trust now. Data that cannot be used change nothing. The bundle is
// empty when there never were any that could.
func (f *Foreign) Bundle(data map[string][]byte, published [][]byte) (bundle []byte, again time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.Clock.Now()
	_ = f.takeLocked(data, now) // who follows the Secret has said so
	if f.state.serving != nil && !f.adopted {
		// Other replicas may still show what was there before this process was.
		f.state, f.adopted = f.state.adopt(published, now.Add(2*f.Overlap)), true
	}
	if bundle, again = f.state.bundle(now); f.state.next != nil {
		again = now.Add(f.Overlap) // by then it is shown, and the CA of the one before is on its way out
	}
	return bundle, again
}

// take is for the data that the Secret has now.
func (f *Foreign) take(data map[string][]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.takeLocked(data, f.Clock.Now())
}

func (f *Foreign) takeLocked(data map[string][]byte, now time.Time) (err error) {
	f.state, err = f.state.take(data, f.Hosts, now, f.Overlap)
	return err
}

// look asks what is published while a certificate waits for that.
func (f *Foreign) look(ctx context.Context) error {
	f.mu.Lock()
	waits := f.state.next != nil
	f.mu.Unlock()
	if !waits {
		return nil
	}
	published, err := f.Published(ctx)
	if err != nil {
		return fmt.Errorf("reading the published bundles: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state = f.state.look(published, f.Hosts, f.Clock.Now(), f.Overlap)
	return nil
}

// shown is nil before there was any.
func (f *Foreign) shown() *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state.serving == nil {
		return nil
	}
	return &f.state.serving.cert
}
