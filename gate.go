package main

import (
	"context"
	"fmt"
	"time"

	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/registration"
	"github.com/drain-operator/drain-operator/internal/store"
	"github.com/drain-operator/drain-operator/internal/telemetry"
	"github.com/drain-operator/drain-operator/internal/webhook/gate"
	"github.com/drain-operator/drain-operator/internal/write"
)

// serviceAccount is what the manifests call the operator's.
const serviceAccount = "drain-operator"

// lastWrites bounds how long a replica that ends still writes down which pods
// were asked for.
const lastWrites = 5 * time.Second

// gateFacts are what the gate stands on, from the cache.
type gateFacts struct {
	*store.Store
	*store.Policies
	*store.Leases
}

// addGate adds the gate to every replica, and what writes down for it what was
// asked for.
func addGate(mgr ctrl.Manager, facts gateFacts, config *rest.Config, o options) (*gate.Recorder, error) {
	core, err := corev1client.NewForConfigAndClient(config, mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("setting up what writes to pods: %w", err)
	}
	results := make([]string, 0, len(gate.RecordResults))
	for _, result := range gate.RecordResults {
		results = append(results, string(result))
	}
	answers, err := telemetry.NewGateAnswers(metrics.Registry, results...)
	if err != nil {
		return nil, err
	}
	wishes := gate.NewRecorder(write.New(core), func(result gate.RecordResult) { answers.Recorded(string(result)) })
	own := "system:serviceaccount:" + o.namespace + ":" + serviceAccount
	mgr.GetWebhookServer().Register(registration.GatePath, &gate.Handler{
		Facts:      facts,
		IsOperator: func(user string) bool { return user == own },
		Decide:     drain.Decide,
		Wishes:     wishes,
		Answers:    answers,
		Clock:      clock.RealClock{},
	})
	return wishes, mgr.Add(wishes)
}

// lastWords are written once the webhooks do not answer any more.
func lastWords(wishes *gate.Recorder) {
	ctx, cancel := context.WithTimeout(context.Background(), lastWrites)
	defer cancel()
	wishes.Close(ctx)
}
