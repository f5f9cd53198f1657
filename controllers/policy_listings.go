package controllers

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

const (
	// listingFresh is how old what is known of a namespace may be after an edit
	// of a policy: many policies of one namespace are visited at the same time.
	listingFresh = 5 * time.Second

	// listedAtOnce is how many objects are in memory at once.
	listedAtOnce = 500

	// maxListed bounds the namespaces of which something is kept.
	maxListed = 1024
)

// listings keep what lists of a namespace's objects came to, for questions that
// are rare: to watch them all would cost memory at all times.
type listings[T any] struct {
	clock clock.PassiveClock
	// period is how old a listing may be.
	period time.Duration
	// only says for which policies; nil is all.
	only func(*v1alpha1.DrainPolicy) bool
	// list a namespace. It never returns nil without an error.
	list func(ctx context.Context, namespace string) ([]T, error)
	// unknown is what cannot be told while listing fails.
	unknown string

	mu   sync.Mutex
	kept map[string]*listing[T]
}

// listing of one namespace.
type listing[T any] struct {
	mu    sync.Mutex
	at    time.Time
	found []T
	// edits are the generations of the policies that have seen it.
	edits map[types.UID]int64
}

// of a policy's namespace, nil where the policy does not ask and while it
// cannot be listed: the rest of the policy's status does not wait for that.
func (l *listings[T]) of(ctx context.Context, p *v1alpha1.DrainPolicy) []T {
	if l.only != nil && !l.only(p) {
		return nil
	}
	k := l.in(p.Namespace)
	k.mu.Lock()
	defer k.mu.Unlock()
	now := l.clock.Now()
	age := now.Sub(k.at)
	if k.edits[p.UID] != p.Generation && age >= listingFresh || age >= l.period {
		found, err := l.list(ctx, p.Namespace)
		if err != nil {
			logf.FromContext(ctx).Error(err, "cannot tell "+l.unknown, "namespace", p.Namespace)
			return k.found
		}
		k.at, k.found, k.edits = now, found, map[types.UID]int64{}
	}
	k.edits[p.UID] = p.Generation
	return k.found
}

func (l *listings[T]) in(namespace string) *listing[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kept == nil || len(l.kept) > maxListed { // some are gone
		l.kept = map[string]*listing[T]{}
	}
	if l.kept[namespace] == nil {
		l.kept[namespace] = &listing[T]{}
	}
	return l.kept[namespace]
}
