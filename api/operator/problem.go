package operator

import (
	"fmt"
	"sort"
	"strings"
)

// Problem is one thing wrong with a document.
type Problem struct {
	// Source is where it was read: a file's name, or --set. Empty: found after everything was merged.
	Source string
	// Path is the field, like spec.values.global.network.
	Path string
	// Text says what is wrong.
	Text string
	// Fix says what to write instead; may be empty.
	Fix string
}

// String is the problem in one line.
func (p Problem) String() string {
	line := p.Path + ": " + p.Text
	if p.Source != "" {
		line = p.Source + ": " + line
	}
	if p.Fix != "" {
		line += "; " + p.Fix
	}
	return line
}

// didYouMean names the candidate that was most probably meant, as a sentence; empty when none is near.
func didYouMean(got string, candidates []string) string {
	best, distance := "", len(got)/3+2
	sort.Strings(candidates)
	for _, c := range candidates {
		if strings.EqualFold(got, c) {
			best = c
			break
		}
		if len(got) > 5 && strings.HasPrefix(strings.ToLower(c), strings.ToLower(got[:5])) && best == "" {
			best = c // the right word with another ending
		}
		if d := editDistance(strings.ToLower(got), strings.ToLower(c)); d < distance {
			best, distance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// editDistance counts the letters to insert, remove or replace to get from a to b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
