package webhook

import (
	"encoding/json"

	"gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"
)

// patchBetween is the JSONPatch from raw, the pod as the API server sent it, to injected. original is raw as read:
// what raw has and original has not belongs to an API server that is newer than this program, and stays as it is.
func patchBetween(raw []byte, original, injected *corev1.Pod) ([]byte, error) {
	sent, read, want := any(nil), any(nil), any(nil)
	if err := json.Unmarshal(raw, &sent); err != nil {
		return nil, err
	}
	if err := viaJSON(original, &read); err != nil {
		return nil, err
	}
	if err := viaJSON(injected, &want); err != nil {
		return nil, err
	}
	keepUnread(sent, read, want)
	result, err := json.Marshal(want)
	if err != nil {
		return nil, err
	}
	operations, err := jsonpatch.CreatePatch(raw, result)
	if err != nil {
		return nil, err
	}
	if len(operations) == 0 {
		return []byte("[]"), nil
	}
	return json.Marshal(operations)
}

func viaJSON(from, to any) error {
	b, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}

// keepUnread copies into want what sent has and read has not. Elements of lists are found again by their names.
func keepUnread(sent, read, want any) {
	switch sent := sent.(type) {
	case map[string]any:
		read, okRead := read.(map[string]any)
		want, okWant := want.(map[string]any)
		if !okRead || !okWant {
			return
		}
		for key, value := range sent {
			if _, known := read[key]; known {
				keepUnread(value, read[key], want[key])
			} else if _, set := want[key]; !set {
				want[key] = value
			}
		}
	case []any:
		read, okRead := read.([]any)
		want, okWant := want.([]any)
		if !okRead || !okWant || len(read) != len(sent) {
			return
		}
		for i := range sent {
			if same := named(want, nameOf(read[i])); same != nil {
				keepUnread(sent[i], read[i], same)
			}
		}
	}
}

func named(list []any, name string) any {
	for _, element := range list {
		if name != "" && nameOf(element) == name {
			return element
		}
	}
	return nil
}

func nameOf(element any) string {
	fields, _ := element.(map[string]any)
	name, _ := fields["name"].(string)
	return name
}
