package certs

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// +kubebuilder:rbac:groups="",namespace=drain-operator-system,resources=secrets,verbs=create
// +kubebuilder:rbac:groups="",namespace=drain-operator-system,resources=secrets,resourceNames=drain-operator-webhook-cert,verbs=get;list;watch;update

// annotationStepped on the Secret is when the last step of a rotation was taken.
const annotationStepped = "drain-operator.dev/stepped-at"

// Rotator keeps the Secret's certificate fresh. Only the leader runs it.
type Rotator struct {
	Client client.Client
	Clock  clock.PassiveClock
	Secret types.NamespacedName
	Terms  Terms

	// Published returns the CA bundles of all registered webhooks, none when
	// none is registered.
	Published func(context.Context) ([][]byte, error)
}

// SetupWithManager adds the rotator to the manager.
func (r *Rotator) SetupWithManager(mgr ctrl.Manager) error {
	start := make(chan event.GenericEvent, 1)
	start <- event.GenericEvent{Object: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: r.Secret.Name, Namespace: r.Secret.Namespace}}}
	return ctrl.NewControllerManagedBy(mgr).
		Named("certificate").
		For(&corev1.Secret{}).
		// There is no event for a Secret that does not exist yet.
		WatchesRawSource(source.Channel(start, &handler.EnqueueRequestForObject{})).
		Complete(r)
}

// Reconcile takes the step that is due, and comes back when the next one is.
func (r *Rotator) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if req.NamespacedName != r.Secret {
		return reconcile.Result{}, nil
	}
	secret, err := r.secret(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	published, err := r.Published(ctx)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading the published bundles: %w", err)
	}
	now := r.Clock.Now()
	decision := Decide(secret.Data, r.Terms, steppedAt(secret), published, now)
	if decision.Step == StepWait {
		return reconcile.Result{RequeueAfter: max(decision.Again.Sub(now), time.Second)}, nil
	}
	if err := r.take(ctx, decision.Step, secret, now); err != nil {
		return reconcile.Result{}, err
	}
	logf.FromContext(ctx).Info("certificate rotation", "step", decision.Step, "reason", decision.Reason)
	return reconcile.Result{RequeueAfter: r.Terms.Overlap}, nil
}

// secret returns the Secret, empty when there is none.
func (r *Rotator) secret(ctx context.Context) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := r.Client.Get(ctx, r.Secret, secret)
	if apierrors.IsNotFound(err) {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: r.Secret.Name, Namespace: r.Secret.Namespace},
			Type:       corev1.SecretTypeTLS,
		}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the certificate's Secret: %w", err)
	}
	return secret, nil
}

// take writes the Secret. A conflict or an object that exists already means
// that somebody was faster: the error brings us back to look at theirs.
func (r *Rotator) take(ctx context.Context, step Step, secret *corev1.Secret, now time.Time) error {
	var made Made
	var err error
	if step == StepIssue || step == StepAnnounce {
		if made, err = Make(r.Terms); err != nil {
			return err
		}
	}
	if secret.Data, err = Take(step, secret.Data, made); err != nil {
		return fmt.Errorf("step %s of the certificate's rotation: %w", step, err)
	}
	metav1.SetMetaDataAnnotation(&secret.ObjectMeta, annotationStepped, now.UTC().Format(time.RFC3339))
	if secret.ResourceVersion == "" {
		err = r.Client.Create(ctx, secret)
	} else {
		err = r.Client.Update(ctx, secret)
	}
	if err != nil {
		return fmt.Errorf("writing the certificate's Secret: %w", err)
	}
	return nil
}

// steppedAt is the zero time when it was never written, or is not a time.
func steppedAt(secret *corev1.Secret) time.Time {
	at, err := time.Parse(time.RFC3339, secret.Annotations[annotationStepped])
	if err != nil {
		return time.Time{}
	}
	return at
}
