package main

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/drain-operator/drain-operator/controllers"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/probe"
	"github.com/drain-operator/drain-operator/internal/registration"
	"github.com/drain-operator/drain-operator/internal/store"
	"github.com/drain-operator/drain-operator/internal/telemetry"
	"github.com/drain-operator/drain-operator/internal/webhook/gate"
	"github.com/drain-operator/drain-operator/internal/write"
)

// flushFor is how long wishes that wait are still written at the end.
const flushFor = 5 * time.Second

// memory is all that is answered from the cache.
type memory struct {
	*store.Store
	*store.Policies
	*store.Leases
}

// holding is what webhook and controllers share to hold deletions.
type holding struct {
	pods write.Pods
	// leader writes to pods only as it knows them.
	leader write.Pods
	wishes *gate.Recorder
	// token of a pod, which authorizes notifications.
	token func(context.Context, *corev1.Pod) string
}

// addGate serves the gate's webhook. The caller closes wishes at the end.
func addGate(ctx context.Context, mgr ctrl.Manager, facts memory) (holding, error) {
	clients, err := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return holding{}, fmt.Errorf("setting up the client of the gate: %w", err)
	}
	self, err := whoAmI(ctx, clients)
	if err != nil {
		return holding{}, err
	}
	var results []string
	for _, result := range gate.RecordResults {
		results = append(results, string(result))
	}
	answers, err := telemetry.NewGateAnswers(metrics.Registry, results...)
	if err != nil {
		return holding{}, fmt.Errorf("registering metrics: %w", err)
	}
	h := holding{pods: write.New(clients.CoreV1()), leader: write.AsKnown(clients.CoreV1()), token: tokens(clients)}
	h.wishes = gate.NewRecorder(h.pods, func(r gate.RecordResult) { answers.Recorded(string(r)) })
	mgr.GetWebhookServer().Register(registration.GatePath, &gate.Handler{
		Facts:      facts,
		IsOperator: func(user string) bool { return user == self },
		Decide:     drain.Decide,
		Wishes:     h.wishes,
		Answers:    answers,
		Clock:      clock.RealClock{},
	})
	return h, mgr.Add(h.wishes)
}

// whoAmI is the name under which the API server knows the operator: what it
// asks for itself, it must not refuse.
func whoAmI(ctx context.Context, clients kubernetes.Interface) (string, error) {
	review, err := clients.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("asking who the operator is: %w", err)
	}
	return review.Status.UserInfo.Username, nil
}

// tokens reads a pod's token from the pod itself: the cache has no environments.
func tokens(clients kubernetes.Interface) func(context.Context, *corev1.Pod) string {
	return func(ctx context.Context, pod *corev1.Pod) string {
		whole, err := clients.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil || whole.UID != pod.UID { // many workloads want none: those that do say so
			return ""
		}
		return probe.TokenIn(whole)
	}
}

// holdOptions are what the controllers need to hold deletions.
func holdOptions(facts memory, h holding) (controllers.HoldOptions, error) {
	holds, err := telemetry.NewHolds(metrics.Registry)
	if err != nil {
		return controllers.HoldOptions{}, fmt.Errorf("registering metrics: %w", err)
	}
	probes, err := telemetry.NewProbes(metrics.Registry)
	if err != nil {
		return controllers.HoldOptions{}, fmt.Errorf("registering metrics: %w", err)
	}
	return controllers.HoldOptions{
		Policy:               facts.Policy,
		NamespaceTerminating: facts.NamespaceTerminating,
		Releasing:            facts.Releasing,
		Pods:                 h.leader,
		Prober:               probe.New(probe.Options{Asked: probes.Asked, Token: h.token}),
		Metrics:              holds,
	}, nil
}

// addReadiness sets the readiness gates of new pods, on every replica.
func addReadiness(mgr ctrl.Manager, h holding) error {
	gates, err := telemetry.NewReadinessGates(metrics.Registry)
	if err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	reconciler := &controllers.ReadinessReconciler{
		Cached: mgr.GetClient(), Pods: h.pods, Metrics: gates, Clock: clock.RealClock{}, Elected: mgr.Elected(),
	}
	return reconciler.SetupWithManager(mgr)
}

// flush writes what is waiting when the operator ends.
func (h holding) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), flushFor)
	defer cancel()
	h.wishes.Close(ctx)
}
