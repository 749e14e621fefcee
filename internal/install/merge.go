package install

import "maps"

// namedLists are the lists that merge item by item, by their field `name`, instead of being replaced: a file that adds a
// gateway keeps those of the profile.
var namedLists = map[string]bool{
	"spec.components.ingressGateways": true,
	"spec.components.egressGateways":  true,
}

// meshNetworks is the one map where a null says something: a network without endpoints, as a published guide writes it.
const meshNetworks = "spec.values.global.meshNetworks"

// merge lays one tree over another: maps merge deeply, named lists by name, everything else is replaced. A null removes.
// Neither tree is changed.
func merge(base, over map[string]any, path string) map[string]any {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]any{}
	}
	for key, value := range over {
		at := key
		if path != "" {
			at = path + "." + key
		}
		switch value := value.(type) {
		case nil:
			delete(out, key)
			if path == meshNetworks {
				out[key] = map[string]any{}
			}
		case map[string]any:
			below, _ := out[key].(map[string]any)
			out[key] = merge(below, value, at)
		case []any:
			below, _ := out[key].([]any)
			out[key] = mergeList(below, value, at)
		default:
			out[key] = value
		}
	}
	return out
}

// mergeList merges a list by name when path is a named one, else takes the upper list as it is.
func mergeList(base, over []any, path string) []any {
	if !namedLists[path] {
		return over
	}
	out := append([]any(nil), base...)
	for _, item := range over {
		upper, _ := item.(map[string]any)
		i := indexByName(out, upper["name"])
		if i < 0 {
			out = append(out, item)
			continue
		}
		below, _ := out[i].(map[string]any)
		out[i] = merge(below, upper, path+"[]")
	}
	return out
}

func indexByName(items []any, name any) int {
	for i, item := range items {
		if m, ok := item.(map[string]any); ok && name != nil && m["name"] == name {
			return i
		}
	}
	return -1
}
