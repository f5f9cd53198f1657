// Package probe asks a pod's drain status from outside of the pod, and tells
// its workload that it drains or no longer does. It connects to the pod's own
// address only, follows no redirects, and bounds time, size and how many it
// asks at once.
package probe

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drainclient"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

const (
	userAgent = "drain-operator"

	// defaultConcurrency of looks: memory for some 10 MiB of connections, when
	// every pod hangs.
	defaultConcurrency = 256

	// apart is what share of the Concurrency is added for pods that hung.
	apart = 4

	keepAlive = -1 // none by TCP: a connection lives for one answer
)

// Options of a Prober.
type Options struct {
	// Concurrency is how many pods are asked at once; 0 = 256. Pods that did
	// not answer in time when they were last asked are not among them: a
	// quarter as many of those are asked at once, so that they keep none waiting.
	Concurrency int
	// Loopback allows addresses of this host, for tests.
	Loopback bool
	// Asked is told of each look, for metrics; may be nil.
	Asked func(policy types.NamespacedName, reading drainstatus.Reading, took time.Duration)
	// Token returns what authorizes a notification to a pod's workload, empty
	// when nothing is known to; may be nil.
	Token func(ctx context.Context, pod *corev1.Pod) string
}

// Prober asks pods. It is safe for concurrent use.
type Prober struct {
	options Options
	client  *http.Client
	// prompt and hung are slots for looks, telling those for notifications.
	prompt, hung, telling slots
}

// New returns a Prober. It keeps no connection: idle ones to every pod would
// be memory here, and connections there that a drain has to see through.
func New(o Options) *Prober {
	if o.Concurrency <= 0 {
		o.Concurrency = defaultConcurrency
	}
	others := max(1, o.Concurrency/apart)
	return &Prober{
		options: o,
		client:  drainclient.New((&net.Dialer{KeepAlive: keepAlive}).DialContext, false),
		prompt:  make(slots, o.Concurrency), hung: make(slots, others), telling: make(slots, others),
	}
}

// slots bound how much is done at once.
type slots chan struct{}

func (s slots) take(ctx context.Context) error {
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s slots) release() { <-s }

// Ask takes one look at a pod's drain status, as its policy says how. It waits
// for its turn, and then at most for timeoutSeconds. What keeps it from looking
// is Unreadable, too.
func (p *Prober) Ask(ctx context.Context, pod *corev1.Pod, policy *v1alpha1.DrainPolicy) drainstatus.Reading {
	return p.look(ctx, targetOf(pod, policy, p.options.Loopback), false).reading
}

// look is one that was taken.
type look struct {
	reading      drainstatus.Reading
	begun, ended time.Time
	// hung says that no answer came in time.
	hung bool
}

// look asks a target once. Where it hung says that it did so when it was last
// asked.
func (p *Prober) look(ctx context.Context, t target, hung bool) look {
	turns := p.prompt
	if hung {
		turns = p.hung
	}
	if err := turns.take(ctx); err != nil {
		now := time.Now()
		return look{reading: drainstatus.NotReadable("not asked: %v", err), begun: now, ended: now}
	}
	defer turns.release()
	taken := p.ask(ctx, t)
	if p.options.Asked != nil && ctx.Err() == nil {
		p.options.Asked(t.policy, taken.reading, taken.ended.Sub(taken.begun))
	}
	return taken
}

func (p *Prober) ask(ctx context.Context, t target) look {
	taken := look{begun: time.Now()}
	if t.wrong != "" {
		taken.reading, taken.ended = drainstatus.NotReadable("%s", t.wrong), taken.begun
		return taken
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	taken.reading = drainclient.Ask(ctx, p.client, t.url, t.judge(taken.begun), userAgent)
	taken.ended = time.Now()
	taken.hung = taken.reading.State == drainstatus.Unreadable && errors.Is(ctx.Err(), context.DeadlineExceeded)
	return taken
}
