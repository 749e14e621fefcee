package guide

import (
	"fmt"
	"regexp"
	"strings"
)

// SameShape says whether output looks as a page shows it: the same table with the same headings, each row that is shown
// present by its name with a value in every column. Names may end in what is made at run time; further rows are fine.
// It returns what is missing, or nil.
func SameShape(want, got string) error {
	wantLines, gotLines := nonEmpty(want), nonEmpty(got)
	if len(wantLines) == 0 {
		return nil
	}
	if len(gotLines) == 0 {
		return fmt.Errorf("no output, want it to look like\n%s", want)
	}
	headings := columns(wantLines[0])
	if strings.ToUpper(wantLines[0]) != wantLines[0] || len(headings) < 2 {
		return sameLines(wantLines, gotLines)
	}
	if h := columns(gotLines[0]); strings.Join(h, " ") != strings.Join(headings, " ") {
		return fmt.Errorf("headings %v, want %v", h, headings)
	}
	for _, row := range wantLines[1:] {
		if err := hasRow(columns(row), gotLines[1:], len(headings)); err != nil {
			return err
		}
	}
	return nil
}

// hasRow looks for a row with the shown row's name, complete and ready.
func hasRow(want, rows []string, width int) error {
	name := generated.ReplaceAllString(want[0], "")
	reason := fmt.Errorf("no row for %s", name)
	for _, row := range rows {
		got := columns(row)
		if generated.ReplaceAllString(got[0], "") != name && !strings.HasPrefix(got[0], name+"-") {
			continue
		}
		switch {
		case len(got) < width:
			reason = fmt.Errorf("row %q has %d columns, want %d", row, len(got), width)
		case strings.Contains(row, "<pending>"):
			reason = fmt.Errorf("row %q is pending", row)
		case !ready(want, got):
			reason = fmt.Errorf("row %q is not ready as in %q", row, strings.Join(want, " "))
		default:
			return nil
		}
	}
	return reason
}

// generated is what Kubernetes appends to the names of pods.
var generated = regexp.MustCompile(`(-[0-9a-f]{8,10})?-[0-9a-z]{5}$`)

// ready compares values that say how far something is, n/n and Running.
func ready(want, got []string) bool {
	for i := range want {
		if i >= len(got) {
			return false
		}
		if (want[i] == "Running" || strings.Contains(want[i], "/") && !strings.Contains(want[i], ":") && len(want[i]) <= 5) && want[i] != got[i] {
			return false
		}
	}
	return true
}

// sameLines wants every shown line's fixed words somewhere in the output.
func sameLines(want, got []string) error {
	all := strings.Join(got, "\n")
	for _, line := range want {
		if !strings.Contains(all, strings.TrimSpace(generated.ReplaceAllString(line, ""))) {
			return fmt.Errorf("no line like %q in\n%s", line, all)
		}
	}
	return nil
}

var gap = regexp.MustCompile(`\s{2,}|\t`)

func columns(line string) []string {
	return gap.Split(strings.TrimSpace(line), -1)
}

func nonEmpty(text string) []string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if strings.TrimSpace(line) != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
