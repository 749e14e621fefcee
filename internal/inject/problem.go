package inject

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a pod's own settings. The pod is refused with it, as a half-read setting
// would send traffic past the proxy or into a wall.
type Problem struct {
	Annotation string // the key; empty when no annotation is at fault
	Value      string // as the user wrote it
	Text       string // what is wrong
	Fix        string // what to write instead
}

// String is the problem as one line for the person whose pod was refused.
func (p Problem) String() string {
	if p.Annotation == "" {
		return fmt.Sprintf("%s; %s", p.Text, p.Fix)
	}
	return fmt.Sprintf("annotation %s: %q: %s; %s", p.Annotation, shortened(p.Value), p.Text, p.Fix)
}

// Describe joins problems into one line. It is empty when there are none.
func Describe(problems []Problem) string {
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, " | ")
}

func shortened(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
