// Package balancer puts load balancers in front of pods on a cluster under
// test, as people have them: kube-proxy, reverse proxies that follow the
// Service's endpoints and keep connections to the pods, and a slow one.
//
// None of them sends a request twice, and none leaves a pod out because a
// request to it has failed: what a pod cuts, its client sees. Proxies that hide
// that are common, and hide it for GET requests only.
package balancer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

// Kind of a balancer.
type Kind string

// Kinds of balancers.
const (
	// ClusterIP and NodePort are kube-proxy's.
	ClusterIP Kind = "ClusterIP"
	NodePort  Kind = "NodePort"
	// Nginx gets a new configuration and is reloaded with every change. A reload
	// closes its clients' idle connections: one that sends just then sees its
	// connection closed, which no pod can help.
	Nginx Kind = "nginx"
	// HAProxy is led through its runtime API: no new requests go to a pod that
	// terminates, those under way finish, idle connections stay open.
	HAProxy Kind = "HAProxy"
	// Slow is a HAProxy that sends to a pod for SlowDelay more after it is not
	// ready any more, as a cloud's load balancer may do.
	Slow Kind = "slow"
	// Checking is a HAProxy that asks the pods' /readyz for their health all the
	// time, on the port of their work. It is none of Kinds: to a pod, its checks
	// are traffic.
	Checking Kind = "checking"
)

// SlowDelay is how much later than all others the Slow one takes pods out.
const SlowDelay = 20 * time.Second

// Kinds are those that people's pods are behind.
func Kinds() []Kind { return []Kind{ClusterIP, NodePort, Nginx, HAProxy, Slow} }

// startTimeout bounds Start.
const startTimeout = 90 * time.Second

// Start puts a balancer of that kind in front of the pods labelled app: app,
// whose container port is named "http", and returns where clients send to, such
// as "10.0.0.7:80", once a pod has answered a GET / there. image has /follow,
// and for proxies nginx and HAProxy where Debian puts them.
//
// What it makes is named app-kind, lives in the namespace and goes with it.
func Start(ctx context.Context, config *rest.Config, namespace, app, image string, kind Kind) (address string, err error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", fmt.Errorf("balancer: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	b := balancer{client, namespace, app, app + "-" + strings.ToLower(string(kind)), image, kind}
	address, err = b.start(ctx)
	if err != nil {
		return "", fmt.Errorf("balancer %s/%s: %w", namespace, b.name, err)
	}
	return address, nil
}

type balancer struct {
	client                      kubernetes.Interface
	namespace, app, name, image string
	kind                        Kind
}

func (b balancer) start(ctx context.Context) (string, error) {
	service, err := b.client.CoreV1().Services(b.namespace).Create(ctx, b.service(), metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	switch b.kind {
	case ClusterIP:
		address := fmt.Sprintf("%s:%d", service.Spec.ClusterIP, servicePort)
		return address, b.await(ctx, address)
	case NodePort:
		node, err := b.node(ctx)
		if err != nil {
			return "", err
		}
		address := fmt.Sprintf("%s:%d", node, service.Spec.Ports[0].NodePort)
		return address, b.await(ctx, address)
	case Nginx, HAProxy, Slow, Checking:
		return b.startProxy(ctx)
	}
	return "", fmt.Errorf("there is no kind %q", b.kind)
}

// node is the address of some node: each has the port.
func (b balancer) node(ctx context.Context) (string, error) {
	nodes, err := b.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	for _, n := range nodes.Items {
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				return a.Address, nil
			}
		}
	}
	return "", errors.New("no node has an internal address")
}

// await waits until a pod answers at an address, as seen by a pod.
func (b balancer) await(ctx context.Context, address string) error {
	pod, err := b.create(ctx, b.asker(address))
	if err != nil {
		return err
	}
	err = b.awaitPod(ctx, pod.Name, func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	return errors.Join(err, b.delete(ctx, pod.Name))
}

// startProxy runs the proxy. It is ready when a pod has answered through it.
func (b balancer) startProxy(ctx context.Context) (string, error) {
	if err := b.allow(ctx); err != nil {
		return "", err
	}
	pod, err := b.create(ctx, b.proxy())
	if err != nil {
		return "", err
	}
	var ip string
	err = b.awaitPod(ctx, pod.Name, func(p *corev1.Pod) bool {
		ip = p.Status.PodIP
		return ready(p)
	})
	return fmt.Sprintf("%s:%d", ip, proxyPort), err
}

// allow lets the proxy's pod see the endpoints.
func (b balancer) allow(ctx context.Context) error {
	account, role, binding := b.rights()
	_, err := b.client.CoreV1().ServiceAccounts(b.namespace).Create(ctx, account, metav1.CreateOptions{})
	_, err2 := b.client.RbacV1().Roles(b.namespace).Create(ctx, role, metav1.CreateOptions{})
	_, err3 := b.client.RbacV1().RoleBindings(b.namespace).Create(ctx, binding, metav1.CreateOptions{})
	return errors.Join(err, err2, err3)
}

// create creates a pod, again while its service account is too new to be known.
func (b balancer) create(ctx context.Context, pod *corev1.Pod) (created *corev1.Pod, err error) {
	err = wait.PollUntilContextCancel(ctx, pollEvery, true, func(ctx context.Context) (bool, error) {
		created, err = b.client.CoreV1().Pods(b.namespace).Create(ctx, pod, metav1.CreateOptions{})
		if apierrors.IsForbidden(err) && strings.Contains(err.Error(), "serviceaccount") {
			return false, nil
		}
		return err == nil, err
	})
	return created, err
}

const pollEvery = 200 * time.Millisecond

func (b balancer) awaitPod(ctx context.Context, name string, is func(*corev1.Pod) bool) error {
	var last corev1.PodStatus
	err := wait.PollUntilContextCancel(ctx, pollEvery, true, func(ctx context.Context) (bool, error) {
		pod, err := b.client.CoreV1().Pods(b.namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		last = pod.Status
		return is(pod), nil
	})
	if err != nil {
		return fmt.Errorf("pod %s is %s, %+v: %w", name, last.Phase, last.ContainerStatuses, err)
	}
	return nil
}

func (b balancer) delete(ctx context.Context, pod string) error {
	return b.client.CoreV1().Pods(b.namespace).Delete(ctx, pod, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
