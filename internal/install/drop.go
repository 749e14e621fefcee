package install

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/isthmus-mesh/isthmus/api/operator"
)

// drop is a tree without what problems were found in, so that the rest can be read into types: one bad quantity ends the decoding
// of all that follows it. The tree is not changed.
func drop(tree map[string]any, problems []operator.Problem) map[string]any {
	for _, p := range problems {
		tree, _ = dropAt(tree, p.Path).(map[string]any)
	}
	return tree
}

// dropAt is a node without what stands at a path below it; nil when it is the node itself. An item takes its list along, since a
// gap would be read as an item without fields.
func dropAt(node any, path string) any {
	if path == "" {
		return nil
	}
	switch node := node.(type) {
	case map[string]any:
		out := maps.Clone(node)
		for key, value := range node {
			// Keys may have dots in them, so a path is compared and not cut.
			rest, ok := strings.CutPrefix(path, key)
			if !ok || rest != "" && rest[0] != '.' && rest[0] != '[' {
				continue
			}
			if out[key] = dropAt(value, strings.TrimPrefix(rest, ".")); out[key] == nil {
				delete(out, key)
			}
		}
		return out
	case []any:
		number, rest, _ := strings.Cut(strings.TrimPrefix(path, "["), "]")
		i, err := strconv.Atoi(number)
		if err != nil || i >= len(node) {
			return node
		}
		out := slices.Clone(node)
		if out[i] = dropAt(node[i], strings.TrimPrefix(rest, ".")); out[i] == nil {
			return nil
		}
		return out
	}
	return node
}
