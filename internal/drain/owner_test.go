package drain_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/internal/drain"
)

func TestOwners(t *testing.T) {
	meta := metav1.ObjectMeta{UID: "1", Generation: 3}
	going := metav1.ObjectMeta{UID: "1", DeletionTimestamp: ptr.To(stamp(0))}
	orphaning := *going.DeepCopy()
	orphaning.Finalizers = []string{"orphan"}
	set := appsv1.StatefulSetSpec{
		Replicas: ptr.To[int32](4), Ordinals: &appsv1.StatefulSetOrdinals{Start: 10},
		UpdateStrategy: appsv1.StatefulSetUpdateStrategy{RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: ptr.To[int32](2)}},
	}
	tests := map[string]struct{ got, want drain.Owner }{
		"ReplicaSet": {
			drain.OwnerOfReplicaSet(&appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Replicas: ptr.To[int32](4)}}),
			drain.Owner{UID: "1", Kind: "ReplicaSet", Replicas: 4},
		},
		"ReplicaSet that does not say how many": {
			drain.OwnerOfReplicaSet(&appsv1.ReplicaSet{ObjectMeta: meta}),
			drain.Owner{UID: "1", Kind: "ReplicaSet", Replicas: 1},
		},
		"ReplicaSet that is being deleted": {
			drain.OwnerOfReplicaSet(&appsv1.ReplicaSet{ObjectMeta: going}),
			drain.Owner{UID: "1", Kind: "ReplicaSet", Replicas: 1, Gone: true},
		},
		"ReplicaSet that leaves its pods behind": {drain.OwnerOfReplicaSet(&appsv1.ReplicaSet{ObjectMeta: orphaning}), drain.Owner{UID: "1"}},
		"StatefulSet": {
			drain.OwnerOfStatefulSet(&appsv1.StatefulSet{
				ObjectMeta: meta, Spec: set, Status: appsv1.StatefulSetStatus{ObservedGeneration: 3, UpdateRevision: "web-2"},
			}),
			drain.Owner{UID: "1", Kind: "StatefulSet", Replicas: 4, FirstOrdinal: 10, Partition: 2, RevisionLabel: "controller-revision-hash", Revision: "web-2"},
		},
		"StatefulSet whose status is of an older edit": {
			drain.OwnerOfStatefulSet(&appsv1.StatefulSet{
				ObjectMeta: meta, Status: appsv1.StatefulSetStatus{ObservedGeneration: 2, UpdateRevision: "web-2"},
			}),
			drain.Owner{UID: "1", Kind: "StatefulSet", Replicas: 1, RevisionLabel: "controller-revision-hash"},
		},
		"StatefulSet that is being deleted": {
			drain.OwnerOfStatefulSet(&appsv1.StatefulSet{ObjectMeta: going}),
			drain.Owner{UID: "1", Kind: "StatefulSet", Replicas: 1, Gone: true, RevisionLabel: "controller-revision-hash"},
		},
		"StatefulSet that leaves its pods behind": {drain.OwnerOfStatefulSet(&appsv1.StatefulSet{ObjectMeta: orphaning}), drain.Owner{UID: "1"}},
		"DaemonSet": {
			drain.OwnerOfDaemonSet(&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{
				UID: "1", Annotations: map[string]string{"deprecated.daemonset.template.generation": "7"},
			}}),
			drain.Owner{UID: "1", Kind: "DaemonSet", RevisionLabel: "pod-template-generation", Revision: "7"},
		},
		"DaemonSet that is being deleted": {
			drain.OwnerOfDaemonSet(&appsv1.DaemonSet{ObjectMeta: going}),
			drain.Owner{UID: "1", Kind: "DaemonSet", Gone: true, RevisionLabel: "pod-template-generation"},
		},
		"DaemonSet that leaves its pods behind": {drain.OwnerOfDaemonSet(&appsv1.DaemonSet{ObjectMeta: orphaning}), drain.Owner{UID: "1"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.got); diff != "" {
				t.Errorf("owner (-want +got):\n%s", diff)
			}
		})
	}
}
