package inject

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// shape is what comparing needs to know of a struct's type.
type shape struct{ fields []field }

// field is a field of a struct as it is encoded.
type field struct {
	index int
	// name on the wire.
	name string
	// inline: its own fields stand among those of the struct.
	inline bool
	// leftOut: it is not on the wire when it is empty.
	leftOut bool
	// isStruct: it is a struct with fields; isPointer: it points to one.
	isStruct, isPointer bool
}

// shapes by type: they are asked for with each request and never change.
var shapes sync.Map

func shapeOf(t reflect.Type) shape {
	if known, found := shapes.Load(t); found {
		return known.(shape)
	}
	s := newShape(t)
	shapes.Store(t, s)
	return s
}

// newShape reads the tags of the fields. Those without a name on the wire are
// no part of it.
func newShape(t reflect.Type) shape {
	var s shape
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		inline := f.Anonymous && name == ""
		if !f.IsExported() || name == "-" || name == "" && !inline {
			continue
		}
		isPointer, isStruct := f.Type.Kind() == reflect.Pointer, hasFields(f.Type)
		s.fields = append(s.fields, field{
			index: i, name: name, inline: inline,
			leftOut:   isPointer || !isStruct && strings.Contains(options, "omitempty"),
			isStruct:  isStruct,
			isPointer: isPointer && hasFields(f.Type.Elem()),
		})
	}
	return s
}

var marshaler = reflect.TypeFor[json.Marshaler]()

// hasFields reports whether a type is encoded as an object with its fields.
// Times, quantities and their like are encoded in their own way.
func hasFields(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(marshaler)
}
