package install

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/isthmus-mesh/isthmus/api/operator"
)

// setPath lays one `--set path=value` over a document. The path is relative to spec; `\.` is a dot within a key, `[0]` an item
// of a list. Values are typed: true, false, whole numbers, numbers, else strings; where the field is a string they are one.
func setPath(doc map[string]any, assignment string) (map[string]any, error) {
	path, value, ok := strings.Cut(assignment, "=")
	if !ok || path == "" {
		return nil, fmt.Errorf("--set %s: must be path=value", assignment)
	}
	steps, err := parsePath("spec." + path)
	if err != nil {
		return nil, fmt.Errorf("--set %s: %w", assignment, err)
	}
	read := typed(value)
	if read != nil && operator.WantsString(steps) {
		read = strings.Trim(value, `"`) // a revision 1, a tag 1.10
	}
	out, err := setStep(doc, steps, read)
	if err != nil {
		return nil, fmt.Errorf("--set %s: %w", assignment, err)
	}
	return out.(map[string]any), nil
}

// typed reads a value as a person would: 5 is a number, true a switch.
func typed(value string) any {
	if i, err := strconv.ParseInt(value, 10, 64); err == nil && (value == "0" || !strings.HasPrefix(value, "0")) {
		return i
	}
	if f, err := strconv.ParseFloat(value, 64); err == nil && strings.Contains(value, ".") {
		return f
	}
	switch value {
	case "true":
		return true
	case "false":
		return false
	case "null":
		return nil
	}
	return strings.Trim(value, `"`)
}

// parsePath cuts a path into keys (string) and indexes (int).
func parsePath(path string) ([]any, error) {
	var steps []any
	var key strings.Builder
	endKey := func() {
		if key.Len() > 0 {
			steps = append(steps, key.String())
			key.Reset()
		}
	}
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '\\':
			if i++; i < len(path) {
				key.WriteByte(path[i])
			}
		case '.':
			endKey()
		case '[':
			endKey()
			end := strings.IndexByte(path[i:], ']')
			if end < 0 {
				return nil, errors.New("a [ has no ]")
			}
			index, err := strconv.Atoi(path[i+1 : i+end])
			if err != nil || index < 0 {
				return nil, fmt.Errorf("%q is no index of a list", path[i+1:i+end])
			}
			steps = append(steps, index)
			i += end
		default:
			key.WriteByte(path[i])
		}
	}
	endKey()
	return steps, nil
}

// setStep returns the node with the value set below it; what is on the way is copied, not changed.
func setStep(node any, steps []any, value any) (any, error) {
	if len(steps) == 0 {
		return value, nil
	}
	if key, ok := steps[0].(string); ok {
		m, isMap := node.(map[string]any)
		if node != nil && !isMap {
			return nil, fmt.Errorf("%s is below something that is not a map", key)
		}
		inner, err := setStep(m[key], steps[1:], value)
		if err != nil {
			return nil, err
		}
		out := make(map[string]any, len(m)+1)
		for k, v := range m {
			out[k] = v
		}
		out[key] = inner
		return out, nil
	}
	index := steps[0].(int)
	list, isList := node.([]any)
	if node != nil && !isList || index > len(list) {
		return nil, fmt.Errorf("[%d] is not an item of what is there", index)
	}
	out := append([]any(nil), list...)
	if index == len(out) {
		out = append(out, nil)
	}
	inner, err := setStep(out[index], steps[1:], value)
	if err != nil {
		return nil, err
	}
	out[index] = inner
	return out, nil
}
