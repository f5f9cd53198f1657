package inject

import (
	"encoding/json"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/drain-operator/drain-operator/internal/plan"
	testbuild "github.com/drain-operator/drain-operator/internal/testing"
	"github.com/drain-operator/drain-operator/test/corpus"
)

func TestCreatePatch(t *testing.T) {
	for name, tc := range map[string]struct {
		raw, after string // what this build does not know is lost in after
		want       string // raw with the patch applied
	}{
		"nothing changes": {
			raw:   `{"metadata":{"name":"a"},"new":1}`,
			after: `{"metadata":{"name":"a"},"status":{}}`,
			want:  `{"metadata":{"name":"a"},"new":1}`,
		},
		"a field whose parent is not on the wire": {
			raw:   `{"spec":{"containers":[{"name":"a"}]}}`,
			after: `{"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"1"}}}]}}`,
			want:  `{"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"1"}}}]}}`,
		},
		"a parent that is null": {
			raw:   `{"metadata":{"annotations":null}}`,
			after: `{"metadata":{"annotations":{"a/b~c":"d"}}}`,
			want:  `{"metadata":{"annotations":{"a/b~c":"d"}}}`,
		},
		"keys with slashes and tildes": {
			raw:   `{"metadata":{"annotations":{"x":"y","z/~":"1"}}}`,
			after: `{"metadata":{"annotations":{"x":"y","a/b~c":"d"}}}`,
			want:  `{"metadata":{"annotations":{"x":"y","a/b~c":"d"}}}`,
		},
		"an insertion before elements with fields that are not known": {
			raw:   `{"spec":{"initContainers":[{"name":"a","future":1},{"name":"b","future":2}]}}`,
			after: `{"spec":{"initContainers":[{"name":"drain-operator-agent"},{"name":"a","image":"x"},{"name":"b"}]}}`,
			want:  `{"spec":{"initContainers":[{"name":"drain-operator-agent","resources":{}},{"name":"a","future":1,"image":"x"},{"name":"b","future":2}]}}`,
		},
		"our element goes back to the front": {
			raw:   `{"spec":{"initContainers":[{"name":"mesh","future":1},{"name":"drain-operator-agent"},{"name":"b","future":2}]}}`,
			after: `{"spec":{"initContainers":[{"name":"drain-operator-agent"},{"name":"mesh"},{"name":"b"}]}}`,
			want:  `{"spec":{"initContainers":[{"name":"drain-operator-agent","resources":{}},{"name":"mesh","future":1},{"name":"b","future":2}]}}`,
		},
		"our element goes back to the end": {
			raw:   `{"spec":{"containers":[{"name":"c","volumeMounts":[{"name":"v","mountPath":"/a","f":1},{"name":"drain-operator-agent","mountPath":"/drain-operator"},{"name":"v","mountPath":"/b","f":2}]}]}}`,
			after: `{"spec":{"containers":[{"name":"c","volumeMounts":[{"name":"v","mountPath":"/a"},{"name":"v","mountPath":"/b"},{"name":"drain-operator-agent","mountPath":"/drain-operator"}]}]}}`,
			want:  `{"spec":{"containers":[{"name":"c","volumeMounts":[{"name":"v","mountPath":"/a","f":1},{"name":"v","mountPath":"/b","f":2},{"name":"drain-operator-agent","mountPath":"/drain-operator"}]}]}}`,
		},
		"a removal": {
			raw:   `{"spec":{"initContainers":[{"name":"drain-operator-agent"},{"name":"a","future":1}]}}`,
			after: `{"spec":{"initContainers":[{"name":"a"}]}}`,
			want:  `{"spec":{"initContainers":[{"name":"a","future":1}]}}`,
		},
		"a list that was not there": {
			raw:   `{"spec":{}}`,
			after: `{"spec":{"volumes":[{"name":"drain-operator-agent"}]}}`,
			want:  `{"spec":{"volumes":[{"name":"drain-operator-agent"}]}}`,
		},
		"a list that was empty": {
			raw:   `{"spec":{"volumes":[]}}`,
			after: `{"spec":{"volumes":[{"name":"drain-operator-agent"}]}}`,
			want:  `{"spec":{"volumes":[{"name":"drain-operator-agent"}]}}`,
		},
		"an empty object with fields that are not known": {
			raw:   `{"spec":{"containers":[{"name":"b"},{"name":"a","resources":{"future":1}}]}}`,
			after: `{"spec":{"containers":[{"name":"drain-operator-agent"},{"name":"b"},{"name":"a","resources":{"limits":{"cpu":"1"}}}]}}`,
			want:  `{"spec":{"containers":[{"name":"drain-operator-agent","resources":{}},{"name":"b"},{"name":"a","resources":{"limits":{"cpu":"1"},"future":1}}]}}`,
		},
		"an object that gets empty": {
			raw:   `{"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"1"},"future":1},"securityContext":{"privileged":true}}]}}`,
			after: `{"spec":{"containers":[{"name":"a"}]}}`,
			want:  `{"spec":{"containers":[{"name":"a","resources":{"future":1}}]}}`,
		},
		"an element that is null": {
			raw:   `{"spec":{"containers":[null,{"name":"a"}]}}`,
			after: `{"spec":{"containers":[{"image":"x"},{"name":"a"}]}}`,
			want:  `{"spec":{"containers":[{"name":"","image":"x","resources":{}},{"name":"a"}]}}`,
		},
		"values within an element": {
			raw:   `{"spec":{"terminationGracePeriodSeconds":0,"containers":[{"name":"a","livenessProbe":{"httpGet":{"port":"http"},"periodSeconds":1},"resources":{"limits":{"cpu":"1000m"}}}]}}`,
			after: `{"spec":{"terminationGracePeriodSeconds":5,"hostNetwork":true,"containers":[{"name":"a","livenessProbe":{"httpGet":{"port":80},"periodSeconds":2,"terminationGracePeriodSeconds":0},"resources":{"limits":{"cpu":1}}}]}}`,
			want:  `{"spec":{"terminationGracePeriodSeconds":5,"hostNetwork":true,"containers":[{"name":"a","livenessProbe":{"httpGet":{"port":80},"periodSeconds":2,"terminationGracePeriodSeconds":0},"resources":{"limits":{"cpu":"1000m"}}}]}}`,
		},
		"variables of one name that stay": {
			raw:   `{"spec":{"containers":[{"name":"a","env":[{"name":"X","value":"1"},{"name":"X","value":"2"}]}]}}`,
			after: `{"spec":{"containers":[{"name":"a","image":"x","env":[{"name":"X","value":"1"},{"name":"X","value":"2"}]}]}}`,
			want:  `{"spec":{"containers":[{"name":"a","image":"x","env":[{"name":"X","value":"1"},{"name":"X","value":"2"}]}]}}`,
		},
		"a list of names": {
			raw:   `{"spec":{"containers":[{"name":"c","args":["a","b"]}]}}`,
			after: `{"spec":{"containers":[{"name":"c","args":["b","c"]}]}}`,
			want:  `{"spec":{"containers":[{"name":"c","args":["b","c"]}]}}`,
		},
		"a readiness gate where there is none": {
			raw:   `{"spec":{"future":1}}`,
			after: `{"spec":{"readinessGates":[{"conditionType":"drain-operator.dev/in-rotation"}]}}`,
			want:  `{"spec":{"future":1,"readinessGates":[{"conditionType":"drain-operator.dev/in-rotation"}]}}`,
		},
		"a readiness gate after others": {
			raw:   `{"spec":{"readinessGates":[{"conditionType":"a","future":1}]}}`,
			after: `{"spec":{"readinessGates":[{"conditionType":"a"},{"conditionType":"drain-operator.dev/in-rotation"}]}}`,
			want:  `{"spec":{"readinessGates":[{"conditionType":"a","future":1},{"conditionType":"drain-operator.dev/in-rotation"}]}}`,
		},
		"a readiness gate goes to the end": {
			raw:   `{"spec":{"readinessGates":[{"conditionType":"drain-operator.dev/in-rotation"},{"conditionType":"a","future":1}]}}`,
			after: `{"spec":{"readinessGates":[{"conditionType":"a"},{"conditionType":"drain-operator.dev/in-rotation"}]}}`,
			want:  `{"spec":{"readinessGates":[{"conditionType":"a","future":1},{"conditionType":"drain-operator.dev/in-rotation"}]}}`,
		},
		"a readiness gate goes": {
			raw:   `{"spec":{"readinessGates":[{"conditionType":"drain-operator.dev/in-rotation"},{"conditionType":"a","future":1}]}}`,
			after: `{"spec":{"readinessGates":[{"conditionType":"a"}]}}`,
			want:  `{"spec":{"readinessGates":[{"conditionType":"a","future":1}]}}`,
		},
		"the only readiness gate goes": {
			raw:   `{"spec":{"readinessGates":[{"conditionType":"drain-operator.dev/in-rotation"}]}}`,
			after: `{"spec":{}}`,
			want:  `{"spec":{}}`,
		},
		"a field that goes": {
			raw:   `{"spec":{"containers":[{"name":"c","lifecycle":{"preStop":{},"future":1}}]}}`,
			after: `{"spec":{"containers":[{"name":"c","lifecycle":{}}]}}`,
			want:  `{"spec":{"containers":[{"name":"c","lifecycle":{"future":1}}]}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			operations, err := createPatch(pod(t, tc.raw), pod(t, tc.after), wire(tc.raw))
			if err != nil {
				t.Fatal(err)
			}
			encoded, err := json.Marshal(operations)
			if err != nil {
				t.Fatal(err)
			}
			patch, err := jsonpatch.DecodePatch(encoded)
			if err != nil {
				t.Fatal(err)
			}
			got := []byte(tc.raw)
			if len(operations) > 0 {
				if got, err = patch.Apply(got); err != nil {
					t.Fatalf("applying %s: %v", encoded, err)
				}
			}
			if diff := cmp.Diff(tree(t, []byte(tc.want)), tree(t, got)); diff != "" {
				t.Errorf("with %s (-want +got):\n%s", encoded, diff)
			}
		})
	}
}

func TestCreatePatchRefusesAmbiguousLists(t *testing.T) {
	raw := `{"spec":{"containers":[{"name":"a"},{"name":"a"}]}}`
	after := `{"spec":{"containers":[{"name":"a","image":"x"},{"name":"a"}]}}`
	if operations, err := createPatch(pod(t, raw), pod(t, after), wire(raw)); err == nil {
		t.Errorf("got %v, want an error", operations)
	}
}

// Applied to the pod as it came, the patch gives the pod as it was wanted; there
// is nothing to change in that one.
func TestPatchesOfRealPods(t *testing.T) {
	cases, err := corpus.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		for _, delivery := range []plan.Delivery{plan.ImageVolume, plan.InitContainer} {
			t.Run(c.Name+"/"+string(delivery), func(t *testing.T) {
				options := plan.Options{AgentImage: image, Delivery: delivery, ReadinessGates: true}
				wanted := testbuild.MakePolicy("web").HTTP(intstr.FromInt32(8080)).HoldsDeletions().Obj()
				want := plan.Apply(plan.Build(wanted, c.Pod, options), c.Pod)
				raw := encode(t, c.Pod)
				patch, err := difference(c.Pod, want, wire(raw))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tree(t, []byte(encode(t, want))), apply(t, raw, patch)); diff != "" {
					t.Errorf("with %s (-want +got):\n%s", patch, diff)
				}
				again, err := difference(want, plan.Apply(plan.Build(wanted, want, options), want), wire(encode(t, want)))
				if err != nil || again != nil {
					t.Errorf("once more: %s, %v", again, err)
				}
			})
		}
	}
}

// wire is a pod as it came.
func wire(doc string) func() (any, error) {
	return func() (any, error) {
		var tree any
		err := json.Unmarshal([]byte(doc), &tree)
		return tree, err
	}
}

func encode(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	encoded, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func pod(t *testing.T, doc string) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	if err := json.Unmarshal([]byte(doc), pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

func tree(t *testing.T, doc []byte) any {
	t.Helper()
	var tree any
	if err := json.Unmarshal(doc, &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}
