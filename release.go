package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/store"
	"github.com/drain-operator/drain-operator/internal/write"
)

// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=drain-operator-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=drain-operator-system,resources=leases,resourceNames=drain-operator-releasing,verbs=get;update

const (
	// releasingFor is how long replicas believe a lease. What is left of it when
	// the command ends is for removing them.
	releasingFor = 60 * time.Second
	// renewEvery is often enough that none is missed.
	renewEvery = 10 * time.Second
	// lookEvery is the least time between two looks at all pods.
	lookEvery = time.Second
	// settleFor is how long nothing must have been held: a replica notices the
	// lease within a moment, and may refuse until then.
	settleFor = 3 * time.Second
	// lastResort bounds what is done by hand after the timeout.
	lastResort = 20 * time.Second
	// podsPerPage bounds memory.
	podsPerPage = 200
	// namesShown of pods that are held.
	namesShown = 5
	// reasonReleased is the reason of conditions that no replica wrote.
	reasonReleased = "Uninstalled"
)

// releaseOptions are the flags of `drain-operator release`.
type releaseOptions struct {
	namespace  string
	owner      string
	timeout    time.Duration
	bestEffort bool
}

func parseReleaseOptions(args []string) (releaseOptions, error) {
	var o releaseOptions
	flags := pflag.NewFlagSet("drain-operator release", pflag.ContinueOnError)
	flags.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "`namespace` of the operator (default: $POD_NAMESPACE)")
	flags.StringVar(&o.owner, "owner", "drain-operator", "`ClusterRole` whose deletion deletes the lease that is left behind, too; empty for none")
	flags.DurationVar(&o.timeout, "timeout", time.Minute, "how long the operator gets to let go of all pods; after that they are put into rotation from here")
	flags.BoolVar(&o.bestEffort, "best-effort", false, "end with success whatever happens: an uninstall goes on")
	flags.AddGoFlag(flag.CommandLine.Lookup("kubeconfig"))
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.namespace == "" || o.timeout <= 0 || flags.NArg() > 0 {
		return o, errors.New("release needs --namespace, a --timeout above 0, and nothing else")
	}
	return o, nil
}

// release tells the operator to hold no pod any more, and waits until that is so.
func release(ctx context.Context, args []string, out io.Writer) error {
	o, err := parseReleaseOptions(args)
	if err != nil {
		return err
	}
	err = o.release(ctx, out)
	if err != nil && o.bestEffort {
		fmt.Fprintf(out, "going on although pods may be left out of rotation: %v\n", err)
		return nil
	}
	return err
}

func (o releaseOptions) release(ctx context.Context, out io.Writer) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	c, err := client.New(config, client.Options{Scheme: newScheme()})
	if err != nil {
		return fmt.Errorf("connecting to the cluster: %w", err)
	}
	core, err := corev1client.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("connecting to the cluster: %w", err)
	}
	r := releaser{releaseOptions: o, client: c, pods: write.New(core), clock: clock.RealClock{}, out: out}
	return r.run(ctx)
}

// releaser lets go of all pods, for an uninstall.
type releaser struct {
	releaseOptions
	client client.Client
	pods   write.Pods
	clock  clock.Clock
	out    io.Writer

	// renewed is when the lease was last renewed, said what was last printed.
	renewed time.Time
	said    string
}

// run returns nil when no pod is held any more.
func (r *releaser) run(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	held, err := r.wait(waiting)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	ctx, cancel = context.WithTimeout(ctx, lastResort)
	defer cancel()
	if err != nil || len(held) > 0 {
		r.say(fmt.Sprintf("the operator did not let go within %s: putting pods into rotation from here", r.timeout))
		err = r.putIntoRotation(ctx)
	}
	// Replicas that are still there for a moment must not begin again.
	return errors.Join(err, r.renew(ctx))
}

// wait until nothing has been held for a while; else it returns at the end of
// the context what is held, or why it is not known.
func (r *releaser) wait(ctx context.Context) (held []*corev1.Pod, err error) {
	var none time.Time // since when nothing is held
	for {
		began := r.clock.Now()
		held, err = r.look(ctx)
		switch {
		case err != nil:
			none = time.Time{}
			r.say(fmt.Sprintf("trying again: %v", err))
		case len(held) > 0:
			none = time.Time{}
			r.say(fmt.Sprintf("%d still held: %s", len(held), names(held)))
		case none.IsZero():
			none = began
		case r.clock.Since(none) >= settleFor:
			r.say("no pod is held")
			return nil, nil
		}
		select {
		case <-ctx.Done():
			return held, err
		case <-r.clock.After(max(lookEvery, 4*r.clock.Since(began))):
		}
	}
}

// look renews the lease when it is time to, and returns the pods that are held.
func (r *releaser) look(ctx context.Context) ([]*corev1.Pod, error) {
	if r.clock.Since(r.renewed) >= renewEvery {
		if err := r.renew(ctx); err != nil {
			return nil, err
		}
	}
	var held []*corev1.Pod
	page := &corev1.PodList{}
	for {
		err := r.client.List(ctx, page, client.MatchingLabels{v1alpha1.LabelInjected: "true"}, client.Limit(podsPerPage), client.Continue(page.Continue))
		if err != nil {
			return nil, fmt.Errorf("listing pods: %w", err)
		}
		for i := range page.Items {
			if pod := &page.Items[i]; isHeld(pod) {
				held = append(held, pod.DeepCopy())
			}
		}
		if page.Continue == "" {
			return held, nil
		}
	}
}

// isHeld says of a pod that it needs the operator: it is out of rotation, or was
// never in it, or its end was asked for and refused.
func isHeld(pod *corev1.Pod) bool {
	if !drain.HasReadinessGate(pod) || pod.DeletionTimestamp != nil ||
		pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return false
	}
	has := func(conditionType corev1.PodConditionType) bool {
		return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == conditionType && c.Status == corev1.ConditionTrue
		})
	}
	return !has(v1alpha1.PodInRotation) || has(v1alpha1.PodDeletionRequested)
}

// putIntoRotation does what the operator should have done, but for telling the
// workloads.
func (r *releaser) putIntoRotation(ctx context.Context) error {
	held, err := r.look(ctx)
	errs := []error{err}
	for _, pod := range held {
		now := metav1.NewTime(r.clock.Now())
		err := r.pods.SetConditions(ctx, pod, []corev1.PodCondition{
			{Type: v1alpha1.PodInRotation, Status: corev1.ConditionTrue, Reason: reasonReleased, LastProbeTime: now, LastTransitionTime: now},
			{Type: v1alpha1.PodDeletionRequested, Status: corev1.ConditionFalse, Reason: reasonReleased, LastProbeTime: now, LastTransitionTime: now},
		})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		r.say(fmt.Sprintf("%s/%s is in rotation; its workload was not told", pod.Namespace, pod.Name))
	}
	return errors.Join(errs...)
}

// renew writes the lease on which every replica holds nothing any more.
func (r *releaser) renew(ctx context.Context) error {
	lease := &coordinationv1.Lease{}
	err := r.client.Get(ctx, client.ObjectKey{Namespace: r.namespace, Name: store.ReleasingLease}, lease)
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return fmt.Errorf("reading the lease: %w", err)
	}
	now := r.clock.Now()
	lease.Namespace, lease.Name = r.namespace, store.ReleasingLease
	lease.Spec.RenewTime = ptr.To(metav1.NewMicroTime(now))
	lease.Spec.LeaseDurationSeconds = ptr.To(int32(releasingFor / time.Second))
	if host, err := os.Hostname(); err == nil {
		lease.Spec.HolderIdentity = &host
	}
	if missing {
		lease.OwnerReferences = r.owners(ctx)
		err = r.client.Create(ctx, lease)
	} else {
		err = r.client.Update(ctx, lease)
	}
	if err != nil {
		return fmt.Errorf("writing the lease: %w", err)
	}
	r.renewed = now
	return nil
}

// owners of the lease: it goes with the rest. None where that cannot be found.
func (r *releaser) owners(ctx context.Context) []metav1.OwnerReference {
	role := &rbacv1.ClusterRole{}
	if r.owner == "" || r.client.Get(ctx, client.ObjectKey{Name: r.owner}, role) != nil {
		return nil
	}
	return []metav1.OwnerReference{{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole", Name: role.Name, UID: role.UID}}
}

// say prints what was not said last.
func (r *releaser) say(line string) {
	if line != r.said {
		fmt.Fprintln(r.out, line)
		r.said = line
	}
}

// names of some pods.
func names(pods []*corev1.Pod) string {
	var shown []string
	for _, pod := range pods[:min(len(pods), namesShown)] {
		shown = append(shown, pod.Namespace+"/"+pod.Name)
	}
	if len(pods) > namesShown {
		shown = append(shown, fmt.Sprintf("and %d more", len(pods)-namesShown))
	}
	return strings.Join(shown, ", ")
}
