package registry

import (
	"iter"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// table is an immutable map. Adding or removing a key copies a few small pieces and shares the rest with the table it
// was made from, so that thousands of versions are cheap and two of them are compared in the time of their difference.
// The zero value is empty.
//
// It is a trie over the hash of the key, four bits a level, with small sorted leaves.
type table[V comparable] struct {
	root *branch[V]
	size int
}

// branch is a leaf when children is nil.
type branch[V comparable] struct {
	entries  []entry[V] // sorted by key
	children *[fanOut]*branch[V]
}

type entry[V comparable] struct {
	key   string
	value V
}

const (
	bits     = 4
	fanOut   = 1 << bits
	leafSize = 16
	maxDepth = 64 / bits // below it the hash is used up, and leaves grow
)

func slot(hash uint64, depth int) int { return int(hash >> (bits * depth) & (fanOut - 1)) }

// len counts the keys.
func (t table[V]) len() int { return t.size }

// get gives the value of a key, or the zero value.
func (t table[V]) get(key string) V {
	v, _ := t.root.find(key, xxhash.Sum64String(key), 0)
	return v
}

func (b *branch[V]) find(key string, hash uint64, depth int) (v V, ok bool) {
	for b != nil && b.children != nil {
		b = b.children[slot(hash, depth)]
		depth++
	}
	if b == nil {
		return v, false
	}
	for i := range b.entries {
		if b.entries[i].key == key {
			return b.entries[i].value, true
		}
	}
	return v, false
}

// with gives a table in which key has the value v.
func (t table[V]) with(key string, v V) table[V] {
	root, added := t.root.with(entry[V]{key, v}, xxhash.Sum64String(key), 0)
	if added {
		t.size++
	}
	t.root = root
	return t
}

func (b *branch[V]) with(e entry[V], hash uint64, depth int) (_ *branch[V], added bool) {
	if b == nil {
		return &branch[V]{entries: []entry[V]{e}}, true
	}
	if b.children != nil {
		children := *b.children
		at := slot(hash, depth)
		children[at], added = children[at].with(e, hash, depth+1)
		return &branch[V]{children: &children}, added
	}
	at, found := slices.BinarySearchFunc(b.entries, e.key, func(e entry[V], key string) int { return strings.Compare(e.key, key) })
	if found {
		entries := slices.Clone(b.entries)
		entries[at] = e
		return &branch[V]{entries: entries}, false
	}
	entries := make([]entry[V], 0, len(b.entries)+1)
	entries = append(append(append(entries, b.entries[:at]...), e), b.entries[at:]...)
	leaf := &branch[V]{entries: entries}
	if len(entries) > leafSize && depth < maxDepth {
		leaf = leaf.split(depth)
	}
	return leaf, true
}

func (b *branch[V]) split(depth int) *branch[V] {
	var children [fanOut]*branch[V]
	for _, e := range b.entries {
		hash := xxhash.Sum64String(e.key)
		at := slot(hash, depth)
		children[at], _ = children[at].with(e, hash, depth+1)
	}
	return &branch[V]{children: &children}
}

// without gives a table that does not hold key.
func (t table[V]) without(key string) table[V] {
	root, removed := t.root.without(key, xxhash.Sum64String(key), 0)
	if removed {
		t.root = root
		t.size--
	}
	return t
}

func (b *branch[V]) without(key string, hash uint64, depth int) (_ *branch[V], removed bool) {
	if b == nil {
		return nil, false
	}
	if b.children != nil {
		at := slot(hash, depth)
		child, removed := b.children[at].without(key, hash, depth+1)
		if !removed {
			return b, false
		}
		children := *b.children
		children[at] = child
		if children == [fanOut]*branch[V]{} {
			return nil, true
		}
		return &branch[V]{children: &children}, true
	}
	at := slices.IndexFunc(b.entries, func(e entry[V]) bool { return e.key == key })
	if at < 0 {
		return b, false
	}
	if len(b.entries) == 1 {
		return nil, true
	}
	return &branch[V]{entries: slices.Concat(b.entries[:at], b.entries[at+1:])}, true
}

// all gives every key and value, in an order that depends on the keys only by their hash.
func (t table[V]) all() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) { t.root.each(yield) }
}

func (b *branch[V]) each(yield func(string, V) bool) bool {
	if b == nil {
		return true
	}
	for i := range b.entries {
		if !yield(b.entries[i].key, b.entries[i].value) {
			return false
		}
	}
	if b.children != nil {
		for _, child := range b.children {
			if !child.each(yield) {
				return false
			}
		}
	}
	return true
}

// changes visits each key whose value differs between two tables; the value of a missing key is zero.
func changes[V comparable](old, now table[V], visit func(key string, was, is V)) {
	changesBelow(old.root, now.root, 0, visit)
}

func changesBelow[V comparable](old, now *branch[V], depth int, visit func(key string, was, is V)) {
	if old == now {
		return
	}
	if old != nil && now != nil && old.children != nil && now.children != nil {
		for i := range old.children {
			changesBelow(old.children[i], now.children[i], depth+1, visit)
		}
		return
	}
	now.each(func(key string, is V) bool {
		if was, _ := old.find(key, xxhash.Sum64String(key), depth); was != is {
			visit(key, was, is)
		}
		return true
	})
	old.each(func(key string, was V) bool {
		if is, found := now.find(key, xxhash.Sum64String(key), depth); !found {
			visit(key, was, is)
		}
		return true
	})
}
