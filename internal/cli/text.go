package cli

import (
	"fmt"
	"strings"
)

// count writes a number and its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// firstOf lists at most the first few of some names, and how many there are beyond.
func firstOf(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// joinLines puts a line below a text that may be empty.
func joinLines(text, line string) string {
	if text == "" {
		return line
	}
	return text + "\n" + line
}
