package framework

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// dump shows what a failed spec leaves behind: policies, pods, events, and what
// the operator said meanwhile. What cannot be read is left out: the failure
// itself matters more.
func (n *Namespace) dump(ctx context.Context, since time.Time) {
	var b strings.Builder
	in := client.InNamespace(n.Name)
	var policies v1alpha1.DrainPolicyList
	_ = n.Client.List(ctx, &policies, in)
	for _, p := range policies.Items {
		section(&b, "policy "+p.Name, map[string]any{"spec": p.Spec, "status": p.Status})
	}
	var pods corev1.PodList
	_ = n.Client.List(ctx, &pods, in)
	for _, p := range pods.Items {
		section(&b, "pod "+p.Name, map[string]any{
			"annotations": p.Annotations, "deletion": p.DeletionTimestamp, "grace": p.Spec.TerminationGracePeriodSeconds,
			"hooks": hooks(&p), "phase": p.Status.Phase, "init": p.Status.InitContainerStatuses, "containers": p.Status.ContainerStatuses,
		})
	}
	var events corev1.EventList
	_ = n.Client.List(ctx, &events, in)
	b.WriteString("--- events\n")
	for _, e := range events.Items {
		fmt.Fprintf(&b, "%s %s/%s %s: %s\n", e.LastTimestamp.Format(time.TimeOnly), e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message)
	}
	b.WriteString("--- operator\n" + n.OperatorLogs(ctx, since))
	AddReportEntry(n.Name, b.String(), ReportEntryVisibilityFailureOrVerbose)
}

func section(b *strings.Builder, title string, v any) {
	text, err := yaml.Marshal(v)
	if err != nil {
		text = []byte(err.Error())
	}
	fmt.Fprintf(b, "--- %s\n%s", title, text)
}

func hooks(pod *corev1.Pod) map[string]any {
	found := map[string]any{}
	for _, c := range pod.Spec.Containers {
		if c.Lifecycle != nil && c.Lifecycle.PreStop != nil {
			found[c.Name] = c.Lifecycle.PreStop
		}
	}
	return found
}

// OperatorLogs is what all replicas said since then, at most the end of it.
func (e *Env) OperatorLogs(ctx context.Context, since time.Time) string {
	var b strings.Builder
	for _, pod := range e.operatorPods(ctx) {
		logs, err := e.Kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
			SinceTime: ptr.To(metav1.NewTime(since)), TailLines: ptr.To[int64](200),
		}).DoRaw(ctx)
		fmt.Fprintf(&b, "%s (%v)\n%s", pod.Name, err, logs)
	}
	return b.String()
}

// OperatorLines are those of all replicas' logs since then that name the
// namespace. It fails where a log cannot be read: that would be no line, too.
func (n *Namespace) OperatorLines(ctx context.Context, since time.Time) []string {
	GinkgoHelper()
	var lines []string
	pods := n.operatorPods(ctx)
	Expect(pods).NotTo(BeEmpty(), "replicas of the operator")
	for _, pod := range pods {
		logs, err := n.Kube.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
			SinceTime: ptr.To(metav1.NewTime(since)),
		}).DoRaw(ctx)
		Expect(err).NotTo(HaveOccurred())
		for line := range strings.Lines(string(logs)) {
			if strings.Contains(line, n.Name) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}
