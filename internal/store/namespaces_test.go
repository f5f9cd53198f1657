package store

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func TestNamespaceTerminating(t *testing.T) {
	at := metav1.Unix(1_000_000, 0)
	deleted := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "deleted", DeletionTimestamp: &at, Finalizers: []string{"f"}}}
	ending := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ending"}}
	ending.Status.Phase = corev1.NamespaceTerminating
	stays := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "stays"}}
	stays.Status.Phase = corev1.NamespaceActive
	store := New(fake.NewClientBuilder().WithObjects(deleted, ending, stays).Build(), nil)
	for name, want := range map[string]bool{"deleted": true, "ending": true, "stays": false, "unknown": false} {
		if got, err := store.NamespaceTerminating(t.Context(), name); err != nil || got != want {
			t.Errorf("%s: got %t, %v; want %t", name, got, err, want)
		}
	}
}
