package security

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

var forbidden = MatchError(apierrors.IsForbidden, "IsForbidden")

var _ = Describe("Who may edit the DrainPolicies of one namespace", Ordered, func() {
	var own, other string

	BeforeAll(func(ctx context.Context) {
		own = developerOf(ctx, user)
		other = developerOf(ctx, "somebody-else")
	})

	It("has no policy in another namespace", func(ctx context.Context) {
		Expect(as(user).Create(ctx, newPolicy(own))).To(Succeed())
		Expect(as(user).Create(ctx, newPolicy(other))).To(forbidden)
		Expect(as(user).List(ctx, &v1alpha1.DrainPolicyList{}, client.InNamespace(other))).To(forbidden)
		Expect(as(user).List(ctx, &v1alpha1.DrainPolicyList{})).To(forbidden)
	})

	It("writes no status: what was measured, and whether the agent can be installed, is the operator's to say", func(ctx context.Context) {
		policy := newPolicy(own)
		policy.Status.GracePeriod = &v1alpha1.GraceStatus{HoldSeconds: ptr.To[int32](3000)}
		Expect(as(user).Create(ctx, policy)).To(Succeed())
		Expect(policy.Status).To(BeZero())

		policy.Status.GracePeriod = &v1alpha1.GraceStatus{HoldSeconds: ptr.To[int32](3000)}
		forged := policy.DeepCopy()
		Expect(as(user).Update(ctx, policy)).To(Succeed())
		Expect(policy.Status).To(BeZero())
		Expect(as(user).Status().Update(ctx, forged)).To(forbidden)
	})

	// Which pod is asked for its metrics goes by its status: its phase, its
	// address, that of its node.
	It("writes no pod's status, so that no address can be made up", func(ctx context.Context) {
		pod := newPod(own)
		pod.Status.PodIP, pod.Status.Phase = "10.0.0.1", "Running"
		Expect(as(user).Create(ctx, pod)).To(Succeed())
		Expect(pod.Status.PodIP).To(BeEmpty())
		forged := pod.DeepCopy()
		forged.Status.PodIP = "10.0.0.1"
		Expect(as(user).Status().Update(ctx, forged)).To(forbidden)
		for _, verb := range []string{"create", "update", "patch"} {
			Expect(may(ctx, user, own, verb, "", "pods", "status", "")).To(BeFalse(), verb)
		}
	})

	It("reaches no Secret by way of the operator's rights", func(ctx context.Context) {
		Expect(may(ctx, user, "drain-operator-system", "get", "", "secrets", "", "drain-operator-webhook-cert")).To(BeFalse())
		Expect(may(ctx, user, "drain-operator-system", "create", "", "serviceaccounts", "token", "drain-operator")).To(BeFalse())
		Expect(may(ctx, user, "", "impersonate", "", "serviceaccounts", "", "drain-operator")).To(BeFalse())
	})
})
