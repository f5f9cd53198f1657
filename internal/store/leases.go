package store

import (
	"context"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Watched as a whole, since a selector by field takes one name and there are two.
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=drain-operator-system,resources=leases,verbs=list;watch

// Leases in the operator's namespace.
const (
	// LeaderLease is renewed by the leader.
	LeaderLease = "drain-operator"
	// ReleasingLease is kept fresh while the operator is being uninstalled:
	// nothing is held any more.
	ReleasingLease = "drain-operator-releasing"
)

const (
	// leaderPatience is how long after its last renewal a leader is taken for
	// alive. It is the duration of a leader's lease.
	leaderPatience = 15 * time.Second
	// defaultReleasing is the duration of a ReleasingLease that gives none.
	defaultReleasing = time.Minute
	// stale is the age at which a ReleasingLease that is seen for the first
	// time is one of another day. Clocks differ by less than that.
	stale = time.Hour
)

// Leases says who is at work, by when their leases were seen to change. Only
// this process's own clock counts: those of other machines may be wrong.
type Leases struct {
	namespace string
	clock     clock.PassiveClock

	mu        sync.Mutex
	always    bool
	leader    renewals
	releasing renewals
}

// renewals are what was seen of one lease.
type renewals struct {
	seen     bool
	written  time.Time // as its holder's clock says: to be compared with itself only
	until    time.Time // when it is over unless it is renewed, by our clock
	patience time.Duration
}

// FollowLeases returns Leases that follow those of a namespace in the cache.
// It must be called before the cache starts.
func FollowLeases(ctx context.Context, leases cache.Cache, namespace string, clock clock.PassiveClock) (*Leases, error) {
	l := &Leases{namespace: namespace, clock: clock}
	informer, err := leases.GetInformer(ctx, &coordinationv1.Lease{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watching leases: %w", err)
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { l.saw(obj) },
		UpdateFunc: func(_, obj any) { l.saw(obj) },
		DeleteFunc: l.sawGo,
	})
	if err != nil {
		return nil, fmt.Errorf("watching leases: %w", err)
	}
	return l, nil
}

// AssumeAlive is for an operator that runs without election: whoever asks is
// the leader.
func (l *Leases) AssumeAlive() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.always = true
}

// Alive reports whether there is a leader: its lease was seen renewed within
// the last 15 s, or was seen for the first time within them.
func (l *Leases) Alive() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.always || l.clock.Now().Before(l.leader.until)
}

// Releasing reports whether the operator is being uninstalled: the lease that
// says so was seen renewed within its duration. One that was left behind
// counts for that long, too, unless it is an hour old or more.
func (l *Leases) Releasing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clock.Now().Before(l.releasing.until)
}

func (l *Leases) saw(obj any) {
	lease, ok := obj.(*coordinationv1.Lease)
	if !ok || lease.Namespace != l.namespace {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.Now()
	switch lease.Name {
	case LeaderLease:
		l.leader.patience = leaderPatience
		// Who gives the lease up renews it a last time, without a holder.
		l.leader.see(lease.Spec, now, held(lease.Spec))
	case ReleasingLease:
		l.releasing.patience = durationOf(lease.Spec)
		l.releasing.see(lease.Spec, now, l.releasing.seen || now.Sub(writtenAt(lease.Spec)) < stale)
	}
}

// see takes in a state of the lease. Only a change of its time tells that
// somebody lives; alive says that this one does tell.
func (r *renewals) see(spec coordinationv1.LeaseSpec, now time.Time, alive bool) {
	written := writtenAt(spec)
	if r.seen && written.Equal(r.written) {
		return
	}
	r.seen, r.written = true, written
	if alive {
		r.until = now.Add(r.patience)
	}
}

func (l *Leases) sawGo(obj any) {
	if unknown, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = unknown.Obj
	}
	gone, ok := obj.(client.Object)
	if !ok || gone.GetNamespace() != l.namespace {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch gone.GetName() {
	case LeaderLease:
		l.leader.seen = false // the leader lives until its time is over
	case ReleasingLease:
		l.releasing = renewals{}
	}
}

func held(spec coordinationv1.LeaseSpec) bool {
	return spec.HolderIdentity != nil && *spec.HolderIdentity != ""
}

func writtenAt(spec coordinationv1.LeaseSpec) time.Time {
	if spec.RenewTime == nil {
		return time.Time{}
	}
	return spec.RenewTime.Time
}

func durationOf(spec coordinationv1.LeaseSpec) time.Duration {
	if spec.LeaseDurationSeconds == nil || *spec.LeaseDurationSeconds <= 0 {
		return defaultReleasing
	}
	return time.Duration(*spec.LeaseDurationSeconds) * time.Second
}
