package operator

import (
	"fmt"
	"reflect"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Check compares a document, as a JSON tree, with the types of this package: unknown fields, wrong types, and fields that are
// recognised but not supported. It returns all problems in the order of their paths. Numbers may be of any Go type.
func Check(doc map[string]any) []Problem {
	c := &checker{}
	c.value("", doc, reflect.TypeFor[IstioOperator]())
	sort.SliceStable(c.problems, func(i, j int) bool { return c.problems[i].Path < c.problems[j].Path })
	return c.problems
}

// checker walks a tree along the types that it should fit.
type checker struct {
	problems []Problem
}

func (c *checker) add(path, text, fix string) {
	c.problems = append(c.problems, Problem{Path: path, Text: text, Fix: fix})
}

// value checks what stands at path. Absent and null are fine everywhere.
func (c *checker) value(path string, v any, want reflect.Type) {
	for want.Kind() == reflect.Pointer {
		want = want.Elem()
	}
	if v == nil || want.Kind() == reflect.Interface || c.special(path, v, want) {
		return
	}
	switch want.Kind() {
	case reflect.Struct:
		if fields, ok := v.(map[string]any); ok {
			c.fields(path, fields, want)
			return
		}
	case reflect.Map:
		if entries, ok := v.(map[string]any); ok {
			for _, key := range sortedKeys(entries) {
				c.value(join(path, key), entries[key], want.Elem())
			}
			return
		}
	case reflect.Slice:
		if items, ok := v.([]any); ok {
			for i, item := range items {
				c.value(fmt.Sprintf("%s[%d]", path, i), item, want.Elem())
			}
			return
		}
	default:
		if scalarFits(v, want.Kind()) {
			return
		}
	}
	c.wrongType(path, v, kindName(want))
}

// special checks the types whose JSON form differs from their Go form. It reports whether it took care of the value.
func (c *checker) special(path string, v any, want reflect.Type) bool {
	switch want {
	case reflect.TypeFor[RawValues]():
		c.value(path, v, reflect.TypeFor[Values]())
	case reflect.TypeFor[MeshConfig]():
		c.meshConfig(path, v)
	case reflect.TypeFor[intstr.IntOrString]():
		if kind := jsonKind(v); kind != "a string" && kind != "a number" {
			c.wrongType(path, v, "a number or a string")
		}
	case reflect.TypeFor[resource.Quantity]():
		if _, err := resource.ParseQuantity(fmt.Sprint(v)); err != nil {
			c.add(path, fmt.Sprintf("%v is not a quantity", v), "write it like 100m, 0.5, 128Mi")
		}
	case reflect.TypeFor[metav1.Time]():
	default:
		return false
	}
	return true
}

// fields checks an object field by field.
func (c *checker) fields(path string, got map[string]any, want reflect.Type) {
	known := jsonFields(want)
	for _, key := range sortedKeys(got) {
		at := join(path, key)
		field, ok := known[key]
		if !ok {
			fix := didYouMean(key, mapKeys(known))
			if fix == "" {
				fix = elsewhere(key, path)
			}
			c.add(at, "unknown field", fix)
			continue
		}
		if why := field.Tag.Get("unsupported"); why != "" && !isZero(got[key]) {
			c.add(at, "not supported: "+why, "")
			continue
		}
		c.value(at, got[key], field.Type)
	}
}

func (c *checker) wrongType(path string, v any, want string) {
	fix := ""
	switch kind := jsonKind(v); {
	case want == "a string" && kind == "a number":
		fix = fmt.Sprintf("put it in quotes: %q", fmt.Sprint(v))
	case want == "a string" && kind == "true or false":
		fix = "put it in quotes: YAML reads y, n, on, off, yes and no as switches"
	}
	c.add(path, fmt.Sprintf("must be %s, is %s", want, jsonKind(v)), fix)
}

// jsonFields are the fields of a struct by the name they have in JSON, embedded ones included.
func jsonFields(t reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			for name, inner := range jsonFields(f.Type) {
				fields[name] = inner
			}
		case name != "" && name != "-":
			fields[name] = f
		}
	}
	return fields
}

// scalarFits reports whether a JSON scalar can be read into a Go value of the kind.
func scalarFits(v any, want reflect.Kind) bool {
	switch want {
	case reflect.String:
		return jsonKind(v) == "a string"
	case reflect.Bool:
		return jsonKind(v) == "true or false"
	case reflect.Float32, reflect.Float64:
		return jsonKind(v) == "a number"
	default:
		f, isFloat := v.(float64)
		return jsonKind(v) == "a number" && (!isFloat || f == float64(int64(f)))
	}
}

// kindName is a Go type in the words of YAML.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "a map"
	case reflect.Slice:
		return "a list"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return "a whole number"
	}
}

// jsonKind is a JSON value's kind in the words of YAML.
func jsonKind(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case string:
		return "a string"
	case bool:
		return "true or false"
	case map[string]any:
		return "a map"
	case []any:
		return "a list"
	default:
		return "a number"
	}
}

// isZero reports whether a value says nothing: absent, false, 0, empty, or a tree of such values.
func isZero(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			if !isZero(inner) {
				return false
			}
		}
		return true
	case []any:
		return len(v) == 0
	default:
		return v == nil || reflect.ValueOf(v).IsZero()
	}
}

// elsewhere looks for a field of that name in the rest of the document: people often hit the wrong level.
func elsewhere(key, path string) string {
	found := fieldPaths(reflect.TypeFor[IstioOperator](), "", key)
	if len(found) != 1 || found[0] == join(path, key) {
		return ""
	}
	return fmt.Sprintf("did you mean %s?", found[0])
}

// fieldPaths are the paths of all supported fields with the name, in the types of this package.
func fieldPaths(t reflect.Type, path, name string) []string {
	if t == reflect.TypeFor[RawValues]() {
		t = reflect.TypeFor[Values]()
	}
	if t.Kind() != reflect.Struct || t.PkgPath() != reflect.TypeFor[IstioOperator]().PkgPath() {
		return nil
	}
	var found []string
	for fieldName, f := range jsonFields(t) {
		if f.Tag.Get("unsupported") != "" {
			continue
		}
		at := join(path, fieldName)
		if fieldName == name {
			found = append(found, at)
		}
		found = append(found, fieldPaths(f.Type, at, name)...)
	}
	return found
}

// WantsString reports whether the field at a path, of keys (string) and indexes (int), is a string.
func WantsString(steps []any) bool {
	t := reflect.TypeFor[IstioOperator]()
	for _, step := range steps {
		if t == reflect.TypeFor[RawValues]() {
			t = reflect.TypeFor[Values]()
		}
		switch t.Kind() {
		case reflect.Struct:
			key, _ := step.(string)
			field, ok := jsonFields(t)[key]
			if !ok {
				return false
			}
			t = field.Type
		case reflect.Map, reflect.Slice:
			t = t.Elem()
		default:
			return false
		}
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
	}
	return t.Kind() == reflect.String
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func sortedKeys(m map[string]any) []string {
	keys := mapKeys(m)
	sort.Strings(keys)
	return keys
}

func mapKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	return keys
}
