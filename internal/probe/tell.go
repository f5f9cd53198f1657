package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/drainclient"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

const (
	// tellWithin bounds all tries of a notification, tellTimeout one of them.
	tellWithin  = 5 * time.Second
	tellTimeout = 2 * time.Second
	// tellAgain is the time after the first try, doubled after each other one.
	tellAgain = 200 * time.Millisecond
)

var errTellWithin = fmt.Errorf("no success within %v", tellWithin)

// Tell notifies the workload. It does nothing where the policy has no notify.
// What may be better in a moment is tried again, for 5 s in all.
func (p *Prober) Tell(ctx context.Context, pod *corev1.Pod, policy *v1alpha1.DrainPolicy, draining bool) error {
	notify := policy.Spec.PreStop.Notify
	if notify == nil {
		return nil
	}
	path := notify.Path
	if path == "" {
		path = drainstatus.DefaultNotifyPath
	}
	target, err := urlOf(pod, notify.Port, v1alpha1.SchemeHTTP, path, p.options.Loopback)
	if err != nil {
		return fmt.Errorf("notifying: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, tellWithin, errTellWithin)
	defer cancel()
	token := ""
	if p.options.Token != nil {
		token = p.options.Token(ctx, pod)
	}
	word := drainstatus.Notification{Draining: draining}
	if draining {
		word.Notice = drain.Notice(policy)
	}
	return p.tell(ctx, target, word, token)
}

func (p *Prober) tell(ctx context.Context, target string, word drainstatus.Notification, token string) error {
	for pause := tellAgain; ; pause *= 2 {
		err := p.tellOnce(ctx, target, word, token)
		if err == nil || final(err) {
			return err
		}
		if ended := sleep(ctx, pause); ended != nil {
			return errors.Join(err, ended)
		}
	}
}

func (p *Prober) tellOnce(ctx context.Context, target string, word drainstatus.Notification, token string) error {
	if err := p.telling.take(ctx); err != nil {
		return fmt.Errorf("notifying: %w", err)
	}
	defer p.telling.release()
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	return drainclient.Notify(ctx, p.client, target, word, token, userAgent)
}

// final says that another try would be answered in the same way.
func final(err error) bool {
	var answered *drainclient.AnsweredError
	return errors.As(err, &answered) && answered.StatusCode < 500 && answered.StatusCode != http.StatusTooManyRequests
}

// TokenIn is the token that a pod's containers get as an environment variable,
// empty where it does not stand in the pod itself.
func TokenIn(pod *corev1.Pod) string {
	for _, containers := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for _, c := range containers {
			for _, e := range c.Env {
				if e.Name == drainstatus.TokenEnv && e.Value != "" {
					return e.Value
				}
			}
		}
	}
	return ""
}

// sleep waits, and fails only when ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
