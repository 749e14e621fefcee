package xds

import (
	"slices"
	"strings"
)

// names is a set of resource names: sorted, without doubles, and never changed once made, so that streams can share it.
type names []string

func newNames(list []string) names {
	n := slices.Clone(list)
	slices.Sort(n)
	return slices.Compact(n)
}

func (n names) has(name string) bool {
	_, found := slices.BinarySearch(n, name)
	return found
}

// with gives the names of both.
func (n names) with(o names) names {
	switch {
	case len(o) == 0:
		return n
	case len(n) == 0:
		return o
	}
	merged := make(names, 0, len(n)+len(o))
	for len(n) > 0 && len(o) > 0 {
		switch strings.Compare(n[0], o[0]) {
		case -1:
			merged, n = append(merged, n[0]), n[1:]
		case 1:
			merged, o = append(merged, o[0]), o[1:]
		default:
			merged, n, o = append(merged, n[0]), n[1:], o[1:]
		}
	}
	return append(append(merged, n...), o...)
}

// without gives the names of n that o lacks.
func (n names) without(o names) names {
	if len(o) == 0 {
		return n
	}
	var left names
	for _, name := range n {
		if !o.has(name) {
			left = append(left, name)
		}
	}
	return left
}

// among gives the names that both have.
func (n names) among(o names) names {
	if len(n) > len(o) {
		n, o = o, n
	}
	var both names
	for _, name := range n {
		if o.has(name) {
			both = append(both, name)
		}
	}
	return both
}
