// Package install turns an IstioOperator document and a profile into chart values and those into manifests. The command line
// uses it. It talks to no cluster and reads no files: bytes and charts come in, objects and problems go out.
package install

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/api/operator"
)

// Source is a document as it was given: the name of a file and its bytes.
type Source struct {
	Name string
	Data []byte
}

// parse reads the one IstioOperator of a source as a JSON tree. An empty source is an empty document.
func parse(src Source) (map[string]any, error) {
	var found map[string]any
	for _, part := range splitYAML(src.Data) {
		tree, err := parseTree(part)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", src.Name, err)
		}
		switch {
		case tree == nil:
			continue
		case found != nil:
			return nil, fmt.Errorf("%s: contains multiple IstioOperator CRs, only one per file is supported", src.Name)
		}
		found = tree
	}
	if found == nil {
		return map[string]any{}, nil
	}
	if err := checkHeader(found); err != nil {
		return nil, fmt.Errorf("%s: %w", src.Name, err)
	}
	return found, nil
}

func checkHeader(doc map[string]any) error {
	if v := doc["apiVersion"]; v != operator.APIVersion {
		return fmt.Errorf("apiVersion is %v, must be %s", show(v), operator.APIVersion)
	}
	if v := doc["kind"]; v != operator.Kind {
		return fmt.Errorf("kind is %v, must be %s", show(v), operator.Kind)
	}
	return nil
}

func show(v any) string {
	if v == nil {
		return "missing"
	}
	return fmt.Sprint(v)
}

// splitYAML cuts a stream of documents at its separator lines. A comment, or the document itself, may follow on such a line.
func splitYAML(data []byte) [][]byte {
	var parts [][]byte
	var current bytes.Buffer
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte("---")); ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0) {
			parts = append(parts, bytes.Clone(current.Bytes()))
			current.Reset()
			line = rest
		}
		current.Write(line)
	}
	return append(parts, current.Bytes())
}

// parseTree reads YAML into maps, lists, strings, bools, int64 and float64; nil when there is nothing in it. A key that is there
// twice is an error. Whole numbers stay whole, or a template would print 1e+06.
func parseTree(data []byte) (map[string]any, error) {
	js, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, fmt.Errorf("not readable as YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	decoder := json.NewDecoder(bytes.NewReader(js))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, fmt.Errorf("not readable as YAML: %w", err)
	}
	switch tree := numbers(tree).(type) {
	case nil:
		return nil, nil
	case map[string]any:
		return tree, nil
	default:
		return nil, fmt.Errorf("is no document: it holds just %q", strings.TrimSpace(string(data)))
	}
}

// numbers copies a tree with int64 or float64 in place of json.Number.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64()
		return f
	case map[string]any:
		copied := make(map[string]any, len(v))
		for key, inner := range v {
			copied[key] = numbers(inner)
		}
		return copied
	case []any:
		copied := make([]any, len(v))
		for i, inner := range v {
			copied[i] = numbers(inner)
		}
		return copied
	}
	return v
}

// convert reads a JSON tree into a typed value, and back.
func convert(from, to any) error {
	js, err := json.Marshal(from)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(js))
	decoder.UseNumber()
	return decoder.Decode(to)
}

// tree is a typed value as a JSON tree.
func tree(from any) map[string]any {
	var out any
	if err := convert(from, &out); err != nil {
		return nil
	}
	m, _ := numbers(out).(map[string]any)
	return m
}
