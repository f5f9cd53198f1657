package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// annotationDrained marks the node that the demo drains, so that it is found and
// put back into service even after the demo was killed.
const annotationDrained = "drain-operator.dev/demo-drained"

// pickNode is a node that pods can be sent to.
func (c *cluster) pickNode(ctx context.Context) (*corev1.Node, error) {
	nodes, err := c.typed.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("looking for a node: %w", err)
	}
	for i := range nodes.Items {
		if n := &nodes.Items[i]; usable(n) {
			return n, nil
		}
	}
	return nil, errors.New("none of the nodes is ready, schedulable and without taints")
}

func usable(n *corev1.Node) bool {
	if n.Spec.Unschedulable || len(n.Spec.Taints) > 0 || n.Labels[corev1.LabelHostname] == "" || n.Labels[corev1.LabelOSStable] != "linux" {
		return false
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// markDrained says that it is the demo that is about to drain a node.
func (c *cluster) markDrained(ctx context.Context, node string) error {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"true"}}}`, annotationDrained)
	if _, err := c.typed.CoreV1().Nodes().Patch(ctx, node, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("marking node %s: %w", node, err)
	}
	return nil
}

// uncordon puts back into service whatever node the demo has drained.
func (c *cluster) uncordon(ctx context.Context) error {
	nodes, err := c.typed.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("looking for drained nodes: %w", err)
	}
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:null}},"spec":{"unschedulable":null}}`, annotationDrained)
	for _, n := range nodes.Items {
		if _, ours := n.Annotations[annotationDrained]; !ours {
			continue
		}
		if _, err := c.typed.CoreV1().Nodes().Patch(ctx, n.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return fmt.Errorf("uncordoning node %s: %w", n.Name, err)
		}
	}
	return nil
}

// drainNode is what an administrator would do, for the pods of one cell alone:
// `kubectl drain`, on the cluster of KUBECONFIG.
func drainNode(ctx context.Context, node string, s Setting, timeout time.Duration) (NodeDrain, error) {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, "kubectl", "drain", node,
		fmt.Sprintf("--pod-selector=%s=%s", labelCell, s), "--delete-emptydir-data", fmt.Sprintf("--timeout=%s", timeout))
	cmd.Stdout, cmd.Stderr = &said, &said
	d := NodeDrain{Start: time.Now()}
	err := cmd.Run()
	d.Done = time.Now()
	if err != nil {
		return d, fmt.Errorf("kubectl drain %s: %w: %s", node, err, bytes.TrimSpace(said.Bytes()))
	}
	return d, nil
}

// leak makes a pod of the example count one request too many for ever. Of its
// ReplicaSet, it is the first to go.
func (c *cluster) leak(ctx context.Context, namespace, pod string) error {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"-1"}}}`, corev1.PodDeletionCost)
	if _, err := c.typed.CoreV1().Pods(namespace).Patch(ctx, pod, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("making pod %s/%s the first to go: %w", namespace, pod, err)
	}
	_, err := c.typed.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").
		Name(pod + ":9090").SubResource("proxy").Suffix("leak").DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("making pod %s/%s leak: %w", namespace, pod, err)
	}
	return nil
}
