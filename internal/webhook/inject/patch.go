package inject

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// A pod on the wire may have fields that this build does not know, and a list
// into which something was inserted shifts its elements: a patch by position
// would move fields that it cannot see to another container. So the patch is
// worked out between the pod as we know it and as we want it, and elements of
// lists are followed by their identity.
//
// The two pods are compared as they are, and only what is new is encoded:
// each takes longer to encode than all else that a request asks for.

// operation is one of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// createPatch returns the operations that turn before into after when applied
// to what is on the wire, from which before was decoded. Their values are
// after's own.
func createPatch(before, after *corev1.Pod, wire func() (any, error)) ([]operation, error) {
	d := differ{wire: wire}
	err := d.structs(reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem())
	return d.patch, err
}

// differ compares two values of one type, and what is in them. path is where
// they are, at the time when the operations so far are applied; wirePath where
// the first one is on the wire.
type differ struct {
	wire           func() (any, error)
	path, wirePath []string
	patch          []operation
}

// in does something one step further down.
func (d *differ) in(key, wireKey string, do func() error) error {
	d.path, d.wirePath = append(d.path, key), append(d.wirePath, wireKey)
	err := do()
	d.path, d.wirePath = d.path[:len(d.path)-1], d.wirePath[:len(d.wirePath)-1]
	return err
}

var escaper = strings.NewReplacer("~", "~0", "/", "~1")

// add adds an operation on a child of the current place, or on that itself.
func (d *differ) add(op, child string, value any) {
	var path strings.Builder
	for _, key := range append(slices.Clip(d.path), child) {
		path.WriteByte('/')
		path.WriteString(escaper.Replace(key))
	}
	d.patch = append(d.patch, operation{Op: op, Path: path.String(), Value: value})
}

// structs compares two structs, of which the first one is on the wire.
func (d *differ) structs(before, after reflect.Value) error {
	for _, f := range shapeOf(before.Type()).fields {
		b, a := before.Field(f.index), after.Field(f.index)
		if f.inline {
			if err := d.structs(b, a); err != nil {
				return err
			}
			continue
		}
		if err := d.field(f, b, a); err != nil {
			return err
		}
	}
	return nil
}

// field compares two values of a field. What is empty in the first one may not
// be on the wire, or be null or empty there: it is added whole.
func (d *differ) field(f field, before, after reflect.Value) error {
	emptyBefore, emptyAfter := isEmpty(before), isEmpty(after)
	switch {
	case emptyBefore && emptyAfter:
		return nil
	case emptyBefore && f.isStruct:
		return d.emptyStruct(f, before, after)
	case emptyBefore:
		d.add("add", f.name, valueOf(after))
		return nil
	case emptyAfter && f.leftOut:
		d.add("remove", f.name, nil)
		return nil
	}
	switch {
	case f.isStruct:
		return d.in(f.name, f.name, func() error { return d.structs(before, after) })
	case f.isPointer:
		return d.in(f.name, f.name, func() error { return d.structs(before.Elem(), after.Elem()) })
	case equal(before, after):
		return nil
	case before.Kind() == reflect.Map:
		return d.in(f.name, f.name, func() error { d.maps(before, after); return nil })
	case before.Kind() == reflect.Slice:
		return d.in(f.name, f.name, func() error { return d.lists(before, after) })
	}
	d.add("replace", f.name, valueOf(after))
	return nil
}

// emptyStruct compares with a struct in which nothing is set that we know. Only
// there must one look at the wire: it may be absent, or hold what we do not know.
func (d *differ) emptyStruct(f field, before, after reflect.Value) error {
	found, err := d.onTheWire(f.name)
	if err != nil {
		return err
	}
	if !found {
		d.add("add", f.name, valueOf(after))
		return nil
	}
	return d.in(f.name, f.name, func() error { return d.structs(before, after) })
}

// onTheWire reports whether there is an object in a field of the current place.
func (d *differ) onTheWire(name string) (bool, error) {
	current, err := d.wire()
	if err != nil {
		return false, fmt.Errorf("reading the pod to compare: %w", err)
	}
	for _, key := range append(slices.Clip(d.wirePath), name) {
		current = inside(current, key)
	}
	_, isObject := current.(map[string]any)
	return isObject, nil
}

// inside is a field of an object or an element of a list; nil when there is none.
func inside(value any, key string) any {
	switch parent := value.(type) {
	case map[string]any:
		return parent[key]
	case []any:
		if i, err := strconv.Atoi(key); err == nil && i < len(parent) {
			return parent[i]
		}
	}
	return nil
}

// maps compares two maps with keys that are strings; the first one has elements.
func (d *differ) maps(before, after reflect.Value) {
	for _, key := range sortedKeys(after) {
		b, a := before.MapIndex(key), after.MapIndex(key)
		switch {
		case !b.IsValid():
			d.add("add", key.String(), a.Interface())
		case !equal(b, a):
			d.add("replace", key.String(), a.Interface())
		}
	}
	for _, key := range sortedKeys(before) {
		if !after.MapIndex(key).IsValid() {
			d.add("remove", key.String(), nil)
		}
	}
}

func sortedKeys(m reflect.Value) []reflect.Value {
	return slices.SortedFunc(slices.Values(m.MapKeys()), func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
}

// equal compares what has no inside that a patch could reach, and quantities
// by what they mean.
func equal(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.String:
		return a.String() == b.String()
	case reflect.Bool, reflect.Int, reflect.Int32, reflect.Int64:
		return a.Equal(b)
	default:
		// The second is the slower one, and rarely asked.
		return reflect.DeepEqual(a.Interface(), b.Interface()) || equality.Semantic.DeepEqual(a.Interface(), b.Interface())
	}
}

// isEmpty reports whether a value is one that encoding leaves out or an empty struct.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Map, reflect.Slice:
		return v.Len() == 0
	default:
		return v.IsZero()
	}
}

// valueOf is a value as an operation carries it: not copied where that can be spared.
func valueOf(v reflect.Value) any {
	if v.Kind() == reflect.Struct && v.CanAddr() {
		return v.Addr().Interface()
	}
	return v.Interface()
}
