package bootstrap

import (
	"fmt"
	"strconv"
	"strings"
)

// parseDownward reads a downward API file: one key="value" a line, the value quoted as Go quotes strings.
// https://kubernetes.io/docs/concepts/workloads/pods/downward-api/
func parseDownward(text string) (map[string]string, error) {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		key, quoted, ok := strings.Cut(line, "=")
		if !ok {
			return nil, fmt.Errorf("line %q is not key=\"value\"", line)
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("value of %s: %w", key, err)
		}
		values[key] = value
	}
	return values, nil
}
