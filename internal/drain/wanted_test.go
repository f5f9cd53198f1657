package drain_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/internal/drain"
)

func TestWanted(t *testing.T) {
	replicaSet := func(replicas int32) drain.Owner {
		return drain.Owner{UID: "1", Kind: "ReplicaSet", Replicas: replicas}
	}
	statefulSet := func(revision string) drain.Owner {
		return drain.Owner{
			UID: "1", Kind: "StatefulSet", Replicas: 3, FirstOrdinal: 5, Partition: 1,
			RevisionLabel: "controller-revision-hash", Revision: revision,
		}
	}
	daemonSet := drain.Owner{UID: "1", Kind: "DaemonSet", RevisionLabel: "pod-template-generation", Revision: "7"}
	by := func(name, user string, since float64) gated {
		return inRotation(name).asked(drain.Delete, user, since, since)
	}
	scaled := func(name string, since float64) gated { return by(name, replicaSetController, since) }
	set := func(name, revision string) gated {
		return by(name, statefulSetController, 0).labelled("controller-revision-hash", revision)
	}
	stranger := scaled("x", -9)
	stranger.OwnerReferences[0].UID = "2"

	tests := map[string]struct {
		pod    gated
		owner  drain.Owner
		others []gated
		at     float64
		end    drain.HoldEnd // empty: wanted
	}{
		"one too many":                  {pod: scaled("a", 0), owner: replicaSet(2), others: []gated{inRotation("b"), inRotation("c")}, at: 1000},
		"no longer too many":            {pod: scaled("a", 0), owner: replicaSet(3), others: []gated{inRotation("b"), inRotation("c")}, end: drain.EndTakenBack},
		"too few":                       {pod: scaled("a", 0), owner: replicaSet(9), others: []gated{inRotation("b")}, end: drain.EndTakenBack},
		"another was asked earlier":     {pod: scaled("a", 1), owner: replicaSet(1), others: []gated{scaled("b", 0)}, end: drain.EndTakenBack},
		"another was asked later":       {pod: scaled("b", 0), owner: replicaSet(1), others: []gated{scaled("a", 1)}, at: 1000},
		"asked at once, and the first":  {pod: scaled("a", 0), owner: replicaSet(1), others: []gated{scaled("b", 0)}, at: 1000},
		"asked at once, and the second": {pod: scaled("b", 0), owner: replicaSet(1), others: []gated{scaled("a", 0)}, end: drain.EndTakenBack},
		"one that has begun to leave is not exchanged": {
			pod: scaled("a", 9).out(9), owner: replicaSet(1), others: []gated{scaled("b", 0)}, at: 1000,
		},
		"another has begun to leave":           {pod: scaled("a", 0), owner: replicaSet(1), others: []gated{scaled("b", 9).out(9)}, end: drain.EndTakenBack},
		"one that ends already is none":        {pod: scaled("a", 0), owner: replicaSet(1), others: []gated{scaled("b", -9).terminating()}, end: drain.EndTakenBack},
		"one that failed is none":              {pod: scaled("a", 0), owner: replicaSet(1), others: []gated{inRotation("b").phase(corev1.PodFailed)}, end: drain.EndTakenBack},
		"one that succeeded is none":           {pod: scaled("a", 0), owner: replicaSet(1), others: []gated{inRotation("b").phase(corev1.PodSucceeded)}, end: drain.EndTakenBack},
		"another owner's is none":              {pod: scaled("a", 0), owner: replicaSet(1), others: []gated{stranger}, end: drain.EndTakenBack},
		"the whole of kube-controller-manager": {pod: by("a", "system:kube-controller-manager", 0), owner: replicaSet(1), end: drain.EndTakenBack},
		"the controller's choice comes first":  {pod: by("a", person, 0), owner: replicaSet(1), others: []gated{scaled("b", 9)}, at: 1000, end: drain.EndExpired},
		"somebody else's wish, one too many":   {pod: by("a", person, 0), owner: replicaSet(1), others: []gated{inRotation("b")}, at: 1000},
		"somebody else's wish, just asked":     {pod: by("a", person, 0), owner: replicaSet(1), at: 299},
		"somebody else's wish, 5 minutes ago":  {pod: by("a", person, 0), owner: replicaSet(1), at: 300, end: drain.EndExpired},
		"asked again a minute ago":             {pod: inRotation("a").asked(drain.Evict, person, 0, 240), owner: replicaSet(1), at: 300},
		"the owner is gone":                    {pod: scaled("a", 0), owner: drain.Owner{UID: "1", Gone: true}, at: 1000},
		"no owner":                             {pod: by("a", person, 0), at: 299},
		"no owner, 5 minutes ago":              {pod: by("a", person, 0), at: 300, end: drain.EndExpired},
		"a controller whose owner is not read": {pod: scaled("a", 0), owner: drain.Owner{UID: "1"}, at: 299},

		"an ordinal beyond":            {pod: set("db-8", "db-2"), owner: statefulSet("db-2"), at: 1000},
		"an ordinal before the first":  {pod: set("db-4", "db-2"), owner: statefulSet("db-2"), at: 1000},
		"an ordinal by its label":      {pod: set("db-7", "db-2").labelled("apps.kubernetes.io/pod-index", "8"), owner: statefulSet("db-2"), at: 1000},
		"the last ordinal":             {pod: set("db-7", "db-2"), owner: statefulSet("db-2"), end: drain.EndTakenBack},
		"the first ordinal":            {pod: set("db-5", "db-2"), owner: statefulSet("db-2"), end: drain.EndTakenBack},
		"no ordinal":                   {pod: set("db", "db-2"), owner: statefulSet("db-2"), end: drain.EndTakenBack},
		"an old revision":              {pod: set("db-6", "db-1"), owner: statefulSet("db-2"), at: 1000},
		"an old revision, by a person": {pod: by("db-6", person, 0).labelled("controller-revision-hash", "db-1"), owner: statefulSet("db-2"), at: 1000},
		"an old revision that is kept": {pod: set("db-5", "db-1"), owner: statefulSet("db-2"), end: drain.EndTakenBack},
		"a revision that is not known": {pod: set("db-6", "db-1"), owner: statefulSet(""), at: 299},

		"a DaemonSet's old revision": {pod: by("a", daemonSetController, 0).labelled("pod-template-generation", "6"), owner: daemonSet, at: 1000},
		"a DaemonSet tells not all":  {pod: by("a", daemonSetController, 0).labelled("pod-template-generation", "7"), owner: daemonSet, at: 299},
		"a DaemonSet, 5 minutes ago": {pod: by("a", daemonSetController, 0).labelled("pod-template-generation", "7"), owner: daemonSet, at: 300, end: drain.EndExpired},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w, asked := drain.WishOf(tc.pod.Pod)
			if !asked {
				t.Fatal("the pod has no wish")
			}
			wanted, end := drain.Wanted(tc.pod.Pod, w, tc.owner, pods(append(tc.others, tc.pod)...), moment(tc.at))
			if wanted != (tc.end == "") || end != tc.end {
				t.Errorf("got %v, %q, want %q", wanted, end, tc.end)
			}
		})
	}
}
