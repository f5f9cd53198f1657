package runner

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// label marks the namespaces of a run, so that those of a killed one are found.
const label = "drain-operator.dev/guarantees"

// clean removes every namespace of a run and waits until they are gone.
func (r *runner) clean(ctx context.Context) error {
	var found corev1.NamespaceList
	if err := r.Client.List(ctx, &found, client.HasLabels{label}); err != nil {
		return fmt.Errorf("cleaning up: %w", err)
	}
	for _, ns := range found.Items {
		if err := r.deleteNamespace(ctx, ns.Name); err != nil {
			return err
		}
	}
	err := wait.PollUntilContextCancel(ctx, glance, true, func(ctx context.Context) (bool, error) {
		err := r.Client.List(ctx, &found, client.HasLabels{label})
		return len(found.Items) == 0, err
	})
	if err != nil {
		return fmt.Errorf("cleaning up: waiting for namespaces to go: %w", err)
	}
	return nil
}

// deleteNamespace starts the deletion of a namespace. Its pods go first, with a
// short grace, and their owners before them, so that none is made anew.
func (r *runner) deleteNamespace(ctx context.Context, name string) error {
	in, orphan := client.InNamespace(name), client.PropagationPolicy(metav1.DeletePropagationOrphan)
	for _, err := range []error{
		r.Client.DeleteAllOf(ctx, &appsv1.Deployment{}, in, orphan),
		r.Client.DeleteAllOf(ctx, &appsv1.ReplicaSet{}, in, orphan),
		r.Client.DeleteAllOf(ctx, &corev1.Pod{}, in, client.GracePeriodSeconds(1)),
		r.Client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}),
	} {
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting namespace %s: %w", name, err)
		}
	}
	return nil
}

// showEvery is the distance of progress lines.
const showEvery = 10 * time.Second

// show writes a line about what is under way every few seconds, until stopped.
func (r *runner) show(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var shown sync.WaitGroup
	shown.Go(func() {
		for pause(ctx, showEvery) == nil {
			var looks []string
			for _, g := range r.underWay() {
				looks = append(looks, g.look(ctx))
			}
			r.Say("%s", strings.Join(looks, " | "))
		}
	})
	return func() {
		cancel()
		shown.Wait()
	}
}

func (r *runner) underWay() []*ground {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*ground
	for g := range r.running {
		all = append(all, g)
	}
	return all
}
