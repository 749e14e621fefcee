package operator

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
)

// meshConfig checks a tree against istio.mesh.v1alpha1.MeshConfig: names of fields, kinds of values, names of enums.
func (c *checker) meshConfig(path string, v any) {
	c.message(path, v, (&meshv1alpha1.MeshConfig{}).ProtoReflect().Descriptor())
}

// message checks a proto message in its JSON form. Google's own types have JSON forms of their own and are left to istiod.
func (c *checker) message(path string, v any, want protoreflect.MessageDescriptor) {
	if v == nil || want.ParentFile().Package() == "google.protobuf" {
		return
	}
	fields, ok := v.(map[string]any)
	if !ok {
		c.wrongType(path, v, "a map")
		return
	}
	for _, key := range sortedKeys(fields) {
		field := want.Fields().ByJSONName(key)
		if field == nil {
			field = want.Fields().ByTextName(key)
		}
		if field == nil {
			c.add(join(path, key), "unknown field", didYouMean(key, protoNames(want)))
			continue
		}
		c.protoField(join(path, key), fields[key], field)
	}
}

// protoField checks a field that may be repeated or a map.
func (c *checker) protoField(path string, v any, field protoreflect.FieldDescriptor) {
	switch {
	case v == nil:
	case field.IsMap():
		entries, ok := v.(map[string]any)
		if !ok {
			c.wrongType(path, v, "a map")
			return
		}
		for _, key := range sortedKeys(entries) {
			c.protoValue(join(path, key), entries[key], field.MapValue())
		}
	case field.IsList():
		items, ok := v.([]any)
		if !ok {
			c.wrongType(path, v, "a list")
			return
		}
		for i, item := range items {
			c.protoValue(fmt.Sprintf("%s[%d]", path, i), item, field)
		}
	default:
		c.protoValue(path, v, field)
	}
}

// protoValue checks one value.
func (c *checker) protoValue(path string, v any, field protoreflect.FieldDescriptor) {
	kind := jsonKind(v)
	switch field.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		c.message(path, v, field.Message())
	case protoreflect.BoolKind:
		if kind != "true or false" {
			c.wrongType(path, v, "true or false")
		}
	case protoreflect.StringKind, protoreflect.BytesKind:
		if kind != "a string" {
			c.wrongType(path, v, "a string")
		}
	case protoreflect.EnumKind:
		if name, ok := v.(string); ok && field.Enum().Values().ByName(protoreflect.Name(name)) == nil {
			c.add(path, fmt.Sprintf("%q is none of its values", name), didYouMean(name, enumNames(field.Enum())))
		}
	default:
		// Proto JSON writes 64-bit numbers as strings.
		if kind != "a number" && kind != "a string" {
			c.wrongType(path, v, "a number")
		}
	}
}

func protoNames(m protoreflect.MessageDescriptor) []string {
	var names []string
	for i := range m.Fields().Len() {
		names = append(names, m.Fields().Get(i).JSONName())
	}
	return names
}

func enumNames(e protoreflect.EnumDescriptor) []string {
	var names []string
	for i := range e.Values().Len() {
		names = append(names, string(e.Values().Get(i).Name()))
	}
	return names
}
