package webhook

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// Real pods, fewer of them, and the real namespace controller: test/e2e.
var _ = Describe("A namespace with 100 held pods", func() {
	It("is emptied by the first collection that its controller deletes", func(ctx context.Context) {
		const held = 100
		policy := shared.policy(ctx, shared.namespace(ctx, nil), "web", holdsForLong)
		shared.eventuallyInjects(ctx, policy)
		shared.answered(ctx, policy)
		var last *corev1.Pod
		for range held {
			last = shared.heldPod(ctx, policy)
			Expect(shared.Client.Delete(ctx, last)).To(refused)
		}
		shared.eventuallyWished(ctx, last)
		Expect(shared.Client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: policy.Namespace}})).To(Succeed())
		pods := as(ctx, shared, namespaceController).CoreV1().Pods(policy.Namespace)

		began := time.Now()
		Expect(pods.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})).To(Succeed())
		AddReportEntry("namespace", fmt.Sprintf("the deletion of %d held pods was accepted within %s", held, time.Since(began)))

		left, err := pods.List(ctx, metav1.ListOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(left.Items).To(HaveLen(held), "no kubelet ends them")
		Expect(left.Items).To(HaveEach(HaveField("DeletionTimestamp", Not(BeNil()))))
		Expect(pods.DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}, metav1.ListOptions{})).To(Succeed())
	})
})
