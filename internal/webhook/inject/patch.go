package inject

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gomodules.xyz/jsonpatch/v2"

	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// A pod on the wire may have fields that this build does not know, and a list
// into which something was inserted shifts its elements: a patch by position
// would move fields that it cannot see to another container. So the patch is
// worked out between the pod as we know it and as we want it, elements of
// lists are followed by their identity, and the raw pod only says what is
// there to be changed.

// createPatch returns the operations that turn before into after when applied
// to raw. All three are the pod as JSON: raw as the API server sent it, before
// as decoded and encoded again, after as wanted.
func createPatch(raw, before, after []byte) ([]jsonpatch.Operation, error) {
	var trees [3]any
	for i, doc := range [][]byte{raw, before, after} {
		if err := json.Unmarshal(doc, &trees[i]); err != nil {
			return nil, fmt.Errorf("reading a pod to compare: %w", err)
		}
	}
	return compare("", trees[0], trees[1], trees[2])
}

// compare returns the operations for one value, which exists in raw.
func compare(path string, raw, before, after any) ([]jsonpatch.Operation, error) {
	if reflect.DeepEqual(before, after) {
		return nil, nil
	}
	switch after := after.(type) {
	case map[string]any:
		rawMap, okRaw := raw.(map[string]any)
		beforeMap, okBefore := before.(map[string]any)
		if okRaw && okBefore {
			return compareMaps(path, rawMap, beforeMap, after)
		}
	case []any:
		rawList, okRaw := raw.([]any)
		beforeList, okBefore := before.([]any)
		if okRaw && okBefore && len(rawList) == len(beforeList) {
			return compareLists(path, rawList, beforeList, after)
		}
	}
	return []jsonpatch.Operation{jsonpatch.NewOperation("replace", path, after)}, nil
}

func compareMaps(path string, raw, before, after map[string]any) ([]jsonpatch.Operation, error) {
	var patch []jsonpatch.Operation
	for _, key := range slices.Sorted(maps.Keys(after)) {
		rawValue, exists := raw[key]
		if !exists || rawValue == nil {
			if !reflect.DeepEqual(before[key], after[key]) {
				patch = append(patch, jsonpatch.NewOperation("add", child(path, key), after[key]))
			}
			continue
		}
		changes, err := compare(child(path, key), rawValue, before[key], after[key])
		if err != nil {
			return nil, err
		}
		patch = append(patch, changes...)
	}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		_, wanted := after[key]
		if _, exists := raw[key]; exists && !wanted {
			patch = append(patch, jsonpatch.NewOperation("remove", child(path, key), nil))
		}
	}
	return patch, nil
}

// compareLists follows elements by identity.
func compareLists(path string, raw, before, after []any) ([]jsonpatch.Operation, error) {
	if err := checkUnique(path, before, after); err != nil {
		return nil, err
	}
	kept := match(before, after)
	patch := removals(path, len(before), kept)
	for i, j := range kept {
		if j < 0 {
			patch = append(patch, jsonpatch.NewOperation("add", child(path, strconv.Itoa(i)), after[i]))
		}
	}
	for i, j := range kept {
		if j < 0 {
			continue
		}
		changes, err := compare(child(path, strconv.Itoa(i)), raw[j], before[j], after[i])
		if err != nil {
			return nil, err
		}
		patch = append(patch, changes...)
	}
	return patch, nil
}

// match returns for each element after which one before it is, or -1 when it
// is new. What has moved counts as new, and only our own elements move: they
// were not first or last any more when another webhook had added its own.
func match(before, after []any) []int {
	kept := make([]int, len(after))
	next := 0
	for i, element := range after {
		kept[i] = -1
		at := slices.IndexFunc(before[next:], func(b any) bool { return sameElement(b, element) })
		if at < 0 || isOurs(element) && anyIn(before[next:next+at], after[i+1:]) {
			continue
		}
		kept[i] = next + at
		next += at + 1
	}
	return kept
}

// anyIn reports whether one of the elements is in the list.
func anyIn(elements, list []any) bool {
	return slices.ContainsFunc(elements, func(e any) bool {
		return slices.ContainsFunc(list, func(l any) bool { return sameElement(e, l) })
	})
}

// isOurs reports whether the operator put the element there.
func isOurs(element any) bool {
	id := identity(element)
	return strings.HasPrefix(id, "name "+plan.VolumeName) || strings.HasPrefix(id, "name "+plan.InitContainerName) ||
		id == "mountPath "+hold.AgentDir
}

// removals takes out, from the end, what was not kept.
func removals(path string, length int, kept []int) []jsonpatch.Operation {
	var patch []jsonpatch.Operation
	for j := length - 1; j >= 0; j-- {
		if !slices.Contains(kept, j) {
			patch = append(patch, jsonpatch.NewOperation("remove", child(path, strconv.Itoa(j)), nil))
		}
	}
	return patch
}

// sameElement reports whether two elements of a list stand for the same thing:
// containers, volumes and variables have a name, mounts a path.
func sameElement(a, b any) bool {
	identityA, identityB := identity(a), identity(b)
	if identityA != "" || identityB != "" {
		return identityA == identityB
	}
	return reflect.DeepEqual(a, b)
}

// identity is empty for elements that have none.
func identity(element any) string {
	fields, isMap := element.(map[string]any)
	if !isMap {
		return ""
	}
	if mountPath, found := fields["mountPath"].(string); found {
		return "mountPath " + mountPath
	}
	if name, found := fields["name"].(string); found {
		return "name " + name
	}
	return ""
}

// checkUnique refuses lists in which an identity occurs twice: which one was
// meant could not be told. Such a pod is invalid anyway.
func checkUnique(path string, lists ...[]any) error {
	for _, list := range lists {
		seen := map[string]bool{}
		for _, element := range list {
			id := identity(element)
			if id != "" && seen[id] {
				return fmt.Errorf("%s has two elements with %s", path, id)
			}
			seen[id] = true
		}
	}
	return nil
}

var escaper = strings.NewReplacer("~", "~0", "/", "~1")

func child(path, key string) string { return path + "/" + escaper.Replace(key) }
