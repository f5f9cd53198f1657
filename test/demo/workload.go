package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// cluster is the cluster under test.
type cluster struct {
	config  *rest.Config
	typed   kubernetes.Interface
	dynamic dynamic.Interface
}

func newCluster(config *rest.Config) (*cluster, error) {
	// Progress, watches and rollouts of several cells share a client.
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 100, 200
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &cluster{config: config, typed: typed, dynamic: dyn}, nil
}

var policies = v1alpha1.GroupVersion.WithResource("drainpolicies")

// applyPolicy creates a DrainPolicy and waits until the operator says that pods
// are injected: those made before would not be.
func (c *cluster) applyPolicy(ctx context.Context, m Manifests) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	name, namespace := m.Policy.GetName(), m.Policy.GetNamespace()
	if _, err := c.dynamic.Resource(policies).Namespace(namespace).Create(ctx, m.Policy, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating the DrainPolicy of %s (is the operator deployed?): %w", namespace, err)
	}
	ready := errors.New("no condition Ready yet")
	err := wait.PollUntilContextCancel(ctx, 250*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		policy, err := c.policy(ctx, m.Policy)
		if err != nil {
			return false, err
		}
		cond := meta.FindStatusCondition(policy.Status.Conditions, v1alpha1.ConditionReady)
		if cond != nil {
			ready = fmt.Errorf("condition Ready is %s: %s: %s", cond.Status, cond.Reason, cond.Message)
		}
		return cond != nil && cond.Status == metav1.ConditionTrue, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for DrainPolicy %s/%s to be ready: %w", namespace, name, errors.Join(err, ready))
	}
	return nil
}

// policy is what the cluster has of a policy now.
func (c *cluster) policy(ctx context.Context, of *unstructured.Unstructured) (*v1alpha1.DrainPolicy, error) {
	object, err := c.dynamic.Resource(policies).Namespace(of.GetNamespace()).Get(ctx, of.GetName(), metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the DrainPolicy of %s: %w", of.GetNamespace(), err)
	}
	policy := &v1alpha1.DrainPolicy{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, policy); err != nil {
		return nil, fmt.Errorf("reading the DrainPolicy of %s: %w", of.GetNamespace(), err)
	}
	return policy, nil
}

// createWorkload creates Service and Deployment and waits until all replicas
// are available. It returns the Service's address.
func (c *cluster) createWorkload(ctx context.Context, m Manifests) (string, error) {
	namespace := m.Deployment.Namespace
	service, err := c.typed.CoreV1().Services(namespace).Create(ctx, m.Service, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("creating the Service of %s: %w", namespace, err)
	}
	if _, err := c.typed.AppsV1().Deployments(namespace).Create(ctx, m.Deployment, metav1.CreateOptions{}); err != nil {
		return "", fmt.Errorf("creating the Deployment of %s: %w", namespace, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := c.waitComplete(ctx, namespace, m.Deployment.Name, 1); err != nil {
		return "", errors.Join(err, c.whyNot(namespace))
	}
	return fmt.Sprintf("http://%s:%d/work", service.Spec.ClusterIP, service.Spec.Ports[0].Port), nil
}

// restart asks for a rolling restart as kubectl does and returns the generation
// of the Deployment that it made.
func (c *cluster) restart(ctx context.Context, namespace, name string, now time.Time) (int64, error) {
	patch := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, now.Format(time.RFC3339Nano))
	d, err := c.typed.AppsV1().Deployments(namespace).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return 0, fmt.Errorf("restarting %s/%s: %w", namespace, name, err)
	}
	return d.Generation, nil
}

// waitComplete waits until the Deployment's rollout of a generation is complete.
func (c *cluster) waitComplete(ctx context.Context, namespace, name string, generation int64) error {
	lw := cache.NewListWatchFromClient(c.typed.AppsV1().RESTClient(), "deployments", namespace, fields.OneTermEqualSelector("metadata.name", name))
	_, err := watchtools.UntilWithSync(ctx, lw, &appsv1.Deployment{}, nil, func(e watch.Event) (bool, error) {
		d, ok := e.Object.(*appsv1.Deployment)
		return ok && complete(d, generation), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the rollout of %s/%s: %w", namespace, name, errors.Join(err, context.Cause(ctx)))
	}
	return nil
}

// complete is what `kubectl rollout status` calls complete.
func complete(d *appsv1.Deployment, generation int64) bool {
	want := *d.Spec.Replicas
	s := d.Status
	return s.ObservedGeneration >= generation && s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want
}

// whyNot gathers what the pods of a namespace wait for.
func (c *cluster) whyNot(namespace string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	pods, err := c.typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range pods.Items {
		for _, s := range p.Status.ContainerStatuses {
			if w := s.State.Waiting; w != nil {
				errs = append(errs, fmt.Errorf("pod %s: %s: %s", p.Name, w.Reason, w.Message))
			}
		}
	}
	return errors.Join(errs...)
}

// labelDemo marks the namespaces of the demo, so that those of a killed one are found.
const labelDemo = "drain-operator.dev/demo"

func (c *cluster) createNamespace(ctx context.Context, name string) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{labelDemo: "true"}}}
	if _, err := c.typed.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating namespace %s: %w", name, err)
	}
	return nil
}

// clean deletes every namespace of the demo and waits until they are gone. Pods
// get a second to end: nobody needs their drains any more. A node that the demo
// has drained goes back into service.
func (c *cluster) clean(ctx context.Context) error {
	if err := c.uncordon(ctx); err != nil {
		return fmt.Errorf("cleaning up: %w", err)
	}
	namespaces := c.typed.CoreV1().Namespaces()
	selector := metav1.ListOptions{LabelSelector: labelDemo}
	list, err := namespaces.List(ctx, selector)
	if err != nil {
		return fmt.Errorf("cleaning up: %w", err)
	}
	for _, ns := range list.Items {
		if err := c.deleteNamespace(ctx, ns.Name); err != nil {
			return err
		}
	}
	err = wait.PollUntilContextCancel(ctx, 500*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		left, err := namespaces.List(ctx, selector)
		return err == nil && len(left.Items) == 0, err
	})
	if err != nil {
		return fmt.Errorf("cleaning up: waiting for the demo's namespaces to go: %w", err)
	}
	return nil
}

// deleteNamespace starts the deletion of a namespace. Its pods go first, with a
// short grace, and their owners before them, so that none is made anew.
func (c *cluster) deleteNamespace(ctx context.Context, name string) error {
	orphan := metav1.DeletePropagationOrphan
	keepPods := metav1.DeleteOptions{PropagationPolicy: &orphan}
	atOnce := int64(1)
	for _, err := range []error{
		c.typed.AppsV1().Deployments(name).DeleteCollection(ctx, keepPods, metav1.ListOptions{}),
		c.typed.AppsV1().ReplicaSets(name).DeleteCollection(ctx, keepPods, metav1.ListOptions{}),
		c.typed.CoreV1().Pods(name).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &atOnce}, metav1.ListOptions{}),
		c.typed.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}),
	} {
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("deleting namespace %s: %w", name, err)
		}
	}
	return nil
}
