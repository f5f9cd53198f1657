package inject

import (
	"encoding/json"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
)

func TestCreatePatch(t *testing.T) {
	for name, tc := range map[string]struct {
		raw, before, after string
		want               string // raw with the patch applied
	}{
		"nothing changes": {
			raw:    `{"metadata":{"name":"a"},"new":1}`,
			before: `{"metadata":{"name":"a"},"status":{}}`,
			after:  `{"metadata":{"name":"a"},"status":{}}`,
			want:   `{"metadata":{"name":"a"},"new":1}`,
		},
		"a field whose parent is not on the wire": {
			raw:    `{"spec":{"containers":[{"name":"a"}]}}`,
			before: `{"spec":{"containers":[{"name":"a","resources":{}}]}}`,
			after:  `{"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"1"}}}]}}`,
			want:   `{"spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"1"}}}]}}`,
		},
		"a parent that is null": {
			raw:    `{"metadata":{"annotations":null}}`,
			before: `{"metadata":{}}`,
			after:  `{"metadata":{"annotations":{"a/b~c":"d"}}}`,
			want:   `{"metadata":{"annotations":{"a/b~c":"d"}}}`,
		},
		"keys with slashes and tildes": {
			raw:    `{"metadata":{"annotations":{"x":"y","z/~":"1"}}}`,
			before: `{"metadata":{"annotations":{"x":"y","z/~":"1"}}}`,
			after:  `{"metadata":{"annotations":{"x":"y","a/b~c":"d"}}}`,
			want:   `{"metadata":{"annotations":{"x":"y","a/b~c":"d"}}}`,
		},
		"an insertion before elements with fields that are not known": {
			raw:    `{"spec":{"initContainers":[{"name":"a","future":1},{"name":"b","future":2}]}}`,
			before: `{"spec":{"initContainers":[{"name":"a"},{"name":"b"}]}}`,
			after:  `{"spec":{"initContainers":[{"name":"drain-operator-agent"},{"name":"a","image":"x"},{"name":"b"}]}}`,
			want:   `{"spec":{"initContainers":[{"name":"drain-operator-agent"},{"name":"a","future":1,"image":"x"},{"name":"b","future":2}]}}`,
		},
		"our element goes back to the front": {
			raw:    `{"spec":{"initContainers":[{"name":"mesh","future":1},{"name":"drain-operator-agent"},{"name":"b","future":2}]}}`,
			before: `{"spec":{"initContainers":[{"name":"mesh"},{"name":"drain-operator-agent"},{"name":"b"}]}}`,
			after:  `{"spec":{"initContainers":[{"name":"drain-operator-agent"},{"name":"mesh"},{"name":"b"}]}}`,
			want:   `{"spec":{"initContainers":[{"name":"drain-operator-agent"},{"name":"mesh","future":1},{"name":"b","future":2}]}}`,
		},
		"our element goes back to the end": {
			raw:    `{"mounts":[{"name":"v","mountPath":"/a","f":1},{"name":"drain-operator-agent","mountPath":"/drain-operator"},{"name":"v","mountPath":"/b","f":2}]}`,
			before: `{"mounts":[{"name":"v","mountPath":"/a"},{"name":"drain-operator-agent","mountPath":"/drain-operator"},{"name":"v","mountPath":"/b"}]}`,
			after:  `{"mounts":[{"name":"v","mountPath":"/a"},{"name":"v","mountPath":"/b"},{"name":"drain-operator-agent","mountPath":"/drain-operator"}]}`,
			want:   `{"mounts":[{"name":"v","mountPath":"/a","f":1},{"name":"v","mountPath":"/b","f":2},{"name":"drain-operator-agent","mountPath":"/drain-operator"}]}`,
		},
		"a removal": {
			raw:    `{"spec":{"initContainers":[{"name":"drain-operator-agent"},{"name":"a","future":1}]}}`,
			before: `{"spec":{"initContainers":[{"name":"drain-operator-agent"},{"name":"a"}]}}`,
			after:  `{"spec":{"initContainers":[{"name":"a"}]}}`,
			want:   `{"spec":{"initContainers":[{"name":"a","future":1}]}}`,
		},
		"a list that was not there": {
			raw:    `{"spec":{}}`,
			before: `{"spec":{}}`,
			after:  `{"spec":{"volumes":[{"name":"drain-operator-agent"}]}}`,
			want:   `{"spec":{"volumes":[{"name":"drain-operator-agent"}]}}`,
		},
		"a list that was empty": {
			raw:    `{"spec":{"volumes":[]}}`,
			before: `{"spec":{}}`,
			after:  `{"spec":{"volumes":[{"name":"drain-operator-agent"}]}}`,
			want:   `{"spec":{"volumes":[{"name":"drain-operator-agent"}]}}`,
		},
		"a list of names": {
			raw:    `{"spec":{"args":["a","b"]}}`,
			before: `{"spec":{"args":["a","b"]}}`,
			after:  `{"spec":{"args":["b","c"]}}`,
			want:   `{"spec":{"args":["b","c"]}}`,
		},
		"a field that goes": {
			raw:    `{"spec":{"lifecycle":{"preStop":{},"future":1}}}`,
			before: `{"spec":{"lifecycle":{"preStop":{}}}}`,
			after:  `{"spec":{"lifecycle":{}}}`,
			want:   `{"spec":{"lifecycle":{"future":1}}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			operations, err := createPatch([]byte(tc.raw), []byte(tc.before), []byte(tc.after))
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
	pod := []byte(`{"spec":{"containers":[{"name":"a"},{"name":"a"}]}}`)
	after := []byte(`{"spec":{"containers":[{"name":"a","image":"x"},{"name":"a"}]}}`)
	if operations, err := createPatch(pod, pod, after); err == nil {
		t.Errorf("got %v, want an error", operations)
	}
}

func tree(t *testing.T, doc []byte) any {
	t.Helper()
	var tree any
	if err := json.Unmarshal(doc, &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}
