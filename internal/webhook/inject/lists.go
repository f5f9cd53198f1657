package inject

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// lists follows elements by identity; the first list has some, and they differ.
func (d *differ) lists(beforeList, afterList reflect.Value) error {
	before, after := elementsOf(beforeList), elementsOf(afterList)
	if err := d.checkUnique(before, after); err != nil {
		return err
	}
	kept := match(before, after)
	for j := len(before) - 1; j >= 0; j-- {
		if !slices.Contains(kept, j) {
			d.add("remove", strconv.Itoa(j), nil)
		}
	}
	for i, j := range kept {
		if j < 0 {
			d.add("add", strconv.Itoa(i), valueOf(after[i].value))
		}
	}
	for i, j := range kept {
		if j < 0 {
			continue
		}
		if err := d.elements(i, j, before[j].value, after[i].value); err != nil {
			return err
		}
	}
	return nil
}

// elements compares two elements that stand for the same thing: at i in the
// list as it is by now, at j on the wire. One in which nothing is set may be
// null there.
func (d *differ) elements(i, j int, before, after reflect.Value) error {
	at := strconv.Itoa(i)
	switch {
	case hasFields(before.Type()) && !before.IsZero():
		return d.in(at, strconv.Itoa(j), func() error { return d.structs(before, after) })
	case !equal(before, after):
		d.add("replace", at, valueOf(after))
	}
	return nil
}

// element of a list. Containers, volumes and variables are the same thing when
// their names are, mounts when their paths are; id says so, and is empty for
// what has neither.
type element struct {
	value reflect.Value
	id    string
}

func elementsOf(list reflect.Value) []element {
	elements := make([]element, list.Len())
	for i := range elements {
		elements[i] = element{value: list.Index(i), id: identity(list.Index(i))}
	}
	return elements
}

func identity(v reflect.Value) string {
	if v.Kind() != reflect.Struct {
		return ""
	}
	for _, name := range []string{"MountPath", "Name"} {
		if f := v.FieldByName(name); f.IsValid() && f.Kind() == reflect.String && f.Len() > 0 {
			return name + " " + f.String()
		}
	}
	return ""
}

func (e element) same(other element) bool {
	if e.id != "" || other.id != "" {
		return e.id == other.id
	}
	return equal(e.value, other.value)
}

// isOurs reports whether the operator put the element there.
func (e element) isOurs() bool {
	return strings.HasPrefix(e.id, "Name "+plan.VolumeName) || strings.HasPrefix(e.id, "Name "+plan.InitContainerName) ||
		e.id == "MountPath "+hold.AgentDir
}

// match returns for each element after which one before it is, or -1 when it
// is new. What has moved counts as new, and only our own elements move: they
// were not first or last any more when another webhook had added its own.
func match(before, after []element) []int {
	kept := make([]int, len(after))
	next := 0
	for i, e := range after {
		kept[i] = -1
		at := slices.IndexFunc(before[next:], e.same)
		if at < 0 || e.isOurs() && anyIn(before[next:next+at], after[i+1:]) {
			continue
		}
		kept[i] = next + at
		next += at + 1
	}
	return kept
}

// anyIn reports whether one of the elements is in the list.
func anyIn(elements, list []element) bool {
	return slices.ContainsFunc(elements, func(e element) bool { return slices.ContainsFunc(list, e.same) })
}

// checkUnique refuses lists in which an identity occurs twice: which one was
// meant could not be told. Such a pod is invalid anyway.
func (d *differ) checkUnique(lists ...[]element) error {
	for _, list := range lists {
		seen := map[string]bool{}
		for _, e := range list {
			if e.id != "" && seen[e.id] {
				return fmt.Errorf("/%s has two elements with %s", strings.Join(d.path, "/"), e.id)
			}
			seen[e.id] = true
		}
	}
	return nil
}
