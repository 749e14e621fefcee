package install

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/api/operator"
)

// patches makes one patch a path, those without a value left out, in the order of their paths.
func patches(values map[string]any) []operator.Patch {
	kept := map[string]any{}
	for path, value := range values {
		set(kept, path, value)
	}
	var out []operator.Patch
	for path, value := range kept {
		out = append(out, operator.Patch{Path: path, Value: value})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Path < out[j].Path })
	return out
}

// under sets fields of an object's spec.
func under(kind, name string, spec map[string]any) operator.Overlay {
	values := map[string]any{}
	for key, value := range spec {
		values["spec."+strings.ReplaceAll(key, ".", `\.`)] = value
	}
	return operator.Overlay{Kind: kind, Name: name, Patches: patches(values)}
}

// servicePatches changes a Service whose chart has no values for it.
func servicePatches(name string, service map[string]any) operator.Overlay {
	if service["ports"] != nil {
		service["ports"] = servicePorts(service["ports"])
	}
	return under("Service", name, service)
}

// hpaOverlays carry what of a hpaSpec is no chart value.
func hpaOverlays(name string, k operator.Kubernetes) []operator.Overlay {
	if k.HPASpec == nil {
		return nil
	}
	spec := tree(k.HPASpec)
	for _, key := range []string{"scaleTargetRef", "minReplicas", "maxReplicas"} {
		delete(spec, key)
	}
	return []operator.Overlay{under("HorizontalPodAutoscaler", name, spec)}
}

// overlay changes the objects that it names. It is an error when there is none: the setting would be lost silently.
func overlay(objects []*unstructured.Unstructured, o operator.Overlay) error {
	if len(o.Patches) == 0 {
		return nil
	}
	found := false
	for _, object := range objects {
		if object.GetKind() != o.Kind || object.GetName() != o.Name || o.APIVersion != "" && object.GetAPIVersion() != o.APIVersion {
			continue
		}
		found = true
		for _, p := range o.Patches {
			if err := patch(object, p); err != nil {
				return fmt.Errorf("overlay of %s %s, path %s: %w", o.Kind, o.Name, p.Path, err)
			}
		}
	}
	if !found {
		return fmt.Errorf("overlay of %s %s: no such object is rendered", o.Kind, o.Name)
	}
	return nil
}

func patch(object *unstructured.Unstructured, p operator.Patch) error {
	steps, err := patchPath(p.Path)
	if err != nil {
		return err
	}
	out, err := patchStep(object.Object, steps, numbers(p.Value))
	if err != nil {
		return err
	}
	object.Object = out.(map[string]any)
	return nil
}

// patchPath cuts a path at its dots, but for those in brackets and behind a backslash.
func patchPath(path string) ([]string, error) {
	var steps []string
	var step strings.Builder
	depth := 0
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\' && i+1 < len(path):
			i++
			step.WriteByte(path[i])
		case c == '.' && depth == 0:
			steps = append(steps, step.String())
			step.Reset()
		default:
			depth += strings.Count(string(c), "[") - strings.Count(string(c), "]")
			step.WriteByte(c)
		}
	}
	if depth != 0 {
		return nil, errors.New("its brackets do not match")
	}
	return append(steps, step.String()), nil
}

// patchStep returns the node with the value at the path below it set, or removed when the value is nil.
func patchStep(node any, steps []string, value any) (any, error) {
	if len(steps) == 0 {
		return value, nil
	}
	if strings.HasPrefix(steps[0], "[") {
		return patchItem(node, steps, value)
	}
	fields, ok := node.(map[string]any)
	if !ok {
		if node != nil {
			return nil, fmt.Errorf("%s is below something that is not a map", steps[0])
		}
		fields = map[string]any{}
	}
	inner, err := patchStep(fields[steps[0]], steps[1:], value)
	if err != nil {
		return nil, err
	}
	if inner == nil {
		delete(fields, steps[0])
	} else {
		fields[steps[0]] = inner
	}
	return fields, nil
}

// patchItem follows [3], [-1] (append), [key:value] or [:value] into a list.
func patchItem(node any, steps []string, value any) (any, error) {
	list, ok := node.([]any)
	if !ok && node != nil {
		return nil, fmt.Errorf("%s does not follow a list", steps[0])
	}
	i, err := itemIndex(list, strings.Trim(steps[0], "[]"))
	if err != nil {
		return nil, err
	}
	var current any
	if i < len(list) {
		current = list[i]
	}
	inner, err := patchStep(current, steps[1:], value)
	switch {
	case err != nil:
		return nil, err
	case inner == nil && i < len(list):
		return append(list[:i:i], list[i+1:]...), nil
	case i == len(list):
		return append(list, inner), nil
	}
	list[i] = inner
	return list, nil
}

// itemIndex finds an item; the length of the list stands for a new one.
func itemIndex(list []any, selector string) (int, error) {
	key, want, byKey := strings.Cut(selector, ":")
	if !byKey {
		i, err := strconv.Atoi(selector)
		switch {
		case err != nil || i < -1 || i > len(list):
			return 0, fmt.Errorf("[%s] is not an item of a list of %d", selector, len(list))
		case i == -1:
			return len(list), nil
		}
		return i, nil
	}
	for i, item := range list {
		fields, _ := item.(map[string]any)
		if key != "" && fields != nil && fmt.Sprint(fields[key]) == want || key == "" && fmt.Sprint(item) == want {
			return i, nil
		}
	}
	return 0, fmt.Errorf("the list has no item [%s]", selector)
}
