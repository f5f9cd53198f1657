// Package loadpod runs the load generator as a pod of the cluster under test:
// where Services are reachable, and as far from the workload as its clients are.
package loadpod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/test/load"
)

const (
	port         = 9090
	readyTimeout = 90 * time.Second
)

// Pod is a load generator in the cluster, reached through the API server.
type Pod struct {
	client    kubernetes.Interface
	rest      rest.Interface
	namespace string
	name      string
}

// Start creates the pod from an image that has the generator at /load, and
// waits until it can be asked to send. A pod that was created and does not
// become ready is deleted again.
func Start(ctx context.Context, config *rest.Config, namespace, name, image string) (*Pod, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("load pod: %w", err)
	}
	pods := client.CoreV1().Pods(namespace)
	if _, err := pods.Create(ctx, manifest(name, image), metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("load pod: %w", err)
	}
	p := &Pod{client: client, rest: client.CoreV1().RESTClient(), namespace: namespace, name: name}
	if err := p.waitReady(ctx); err != nil {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return nil, errors.Join(err, p.Delete(cleanup))
	}
	return p, nil
}

func (p *Pod) waitReady(ctx context.Context) error {
	var last corev1.PodStatus
	err := wait.PollUntilContextTimeout(ctx, 250*time.Millisecond, readyTimeout, true, func(ctx context.Context) (bool, error) {
		pod, err := p.client.CoreV1().Pods(p.namespace).Get(ctx, p.name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		last = pod.Status
		return ready(pod), nil
	})
	if err != nil {
		return fmt.Errorf("load pod %s/%s is %s, not ready (%s): %w", p.namespace, p.name, last.Phase, waitingFor(last), err)
	}
	return nil
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func waitingFor(s corev1.PodStatus) string {
	for _, c := range s.ContainerStatuses {
		if w := c.State.Waiting; w != nil {
			return w.Reason + " " + w.Message
		}
	}
	return "no container waits"
}

// Begin starts a run. The pod has a network namespace of its own, so its source
// ports are spread.
func (p *Pod) Begin(ctx context.Context, cfg load.Config) error {
	cfg.SpreadPorts = true
	body, err := json.Marshal(cfg)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if _, err := p.proxy(p.rest.Post(), "start").SetHeader("Content-Type", "application/json").Body(body).DoRaw(ctx); err != nil {
		return fmt.Errorf("starting load: %w", withAnswer(err))
	}
	return nil
}

// Live is the state of the run.
func (p *Pod) Live(ctx context.Context) (load.Live, error) {
	var live load.Live
	return live, p.get(ctx, "live", &live)
}

// Stop sends nothing new. It does not wait for what is under way; Finish does.
func (p *Pod) Stop(ctx context.Context) error {
	if _, err := p.proxy(p.rest.Post(), "stop").Param("wait", "false").DoRaw(ctx); err != nil {
		return fmt.Errorf("stopping load: %w", withAnswer(err))
	}
	return nil
}

// Finish ends the run, waits for its last request and fetches what it saw. It
// is an error if requests were due and not sent.
func (p *Pod) Finish(ctx context.Context) (load.Results, error) {
	var res load.Results
	if _, err := p.proxy(p.rest.Post(), "stop").DoRaw(ctx); err != nil {
		return res, fmt.Errorf("stopping load: %w", withAnswer(err))
	}
	if err := p.get(ctx, "results", &res); err != nil {
		return res, err
	}
	if res.NotSent > 0 {
		return res, fmt.Errorf("load: %d requests were due and not sent", res.NotSent)
	}
	return res, nil
}

// Delete removes the pod at once.
func (p *Pod) Delete(ctx context.Context) error {
	return p.client.CoreV1().Pods(p.namespace).Delete(ctx, p.name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](1)})
}

func (p *Pod) get(ctx context.Context, path string, into any) error {
	b, err := p.proxy(p.rest.Get(), path).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("reading load %s: %w", path, withAnswer(err))
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("reading load %s: %w", path, err)
	}
	return nil
}

// withAnswer adds what the generator answered: client-go keeps the text of an
// answer that is no API object among the causes of its error.
func withAnswer(err error) error {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return err
	}
	for _, c := range status.Status().Details.Causes {
		err = fmt.Errorf("%w: %s", err, c.Message)
	}
	return err
}

func (p *Pod) proxy(r *rest.Request, path string) *rest.Request {
	return r.Namespace(p.namespace).Resource("pods").Name(fmt.Sprintf("%s:%d", p.name, port)).SubResource("proxy").Suffix(path)
}

// manifest is valid under the restricted Pod Security Standard.
func manifest(name, image string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/name": "load"}},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: ptr.To(false),
			EnableServiceLinks:           ptr.To(false),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](65532),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "load", Image: image, Command: []string{"/load"}, Args: []string{fmt.Sprintf("-listen=:%d", port)},
				ImagePullPolicy: corev1.PullIfNotPresent,
				Ports:           []corev1.ContainerPort{{Name: "api", ContainerPort: port}},
				ReadinessProbe: &corev1.Probe{
					PeriodSeconds: 1,
					ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(port)}},
				},
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
				},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}
