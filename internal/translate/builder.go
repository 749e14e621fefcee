package translate

import (
	"google.golang.org/protobuf/proto"
)

// setBuilder makes a Set out of an earlier one of the same class: it keeps shards, and resources in them, whose sources
// are the same, and makes the others.
type setBuilder struct {
	prev *Set
	set  *Set
}

func newSetBuilder(prev *Set) *setBuilder {
	return &setBuilder{prev: prev, set: &Set{Shards: map[string]*Shard{}, sources: map[string]any{}}}
}

// shard fills in one shard. Equal sources mean that fill would give the same resources, so it is not called; a nil source
// is equal to none.
func (b *setBuilder) shard(key string, source any, fill func(*shardBuilder)) {
	var before *Shard
	if b.prev != nil {
		before = b.prev.Shards[key]
		if before != nil && source != nil && b.prev.sources[key] == source {
			b.set.Shards[key], b.set.sources[key] = before, source
			return
		}
	}
	sb := &shardBuilder{prev: before, unchanged: before != nil}
	if before != nil {
		sb.resources = make(map[string]*Resource, len(before.Resources))
	} else {
		sb.resources = map[string]*Resource{}
	}
	fill(sb)
	b.set.Shards[key], b.set.sources[key] = sb.done(), source
}

// done gives the finished set: the earlier one when nothing changed.
func (b *setBuilder) done() *Set {
	if b.prev == nil || len(b.prev.Shards) != len(b.set.Shards) {
		return b.set
	}
	for key, shard := range b.set.Shards {
		if b.prev.Shards[key] != shard {
			return b.set
		}
	}
	// Sources may have changed without a change of content, so the new set replaces the old one only in them.
	b.set.Shards = b.prev.Shards
	return b.set
}

// shardBuilder collects the resources of one shard.
type shardBuilder struct {
	prev      *Shard
	resources map[string]*Resource
	unchanged bool
}

// add takes over the earlier resource of the name if it was made from an equal source, and makes it otherwise.
func (b *shardBuilder) add(name string, source any, write func() proto.Message) {
	b.put(name, source, func() *Resource { return newResource(name, write(), source) })
}

// put is add for resources that are encoded in a way of their own.
func (b *shardBuilder) put(name string, source any, encode func() *Resource) {
	if b.prev != nil {
		if r := b.prev.Resources[name]; r != nil {
			if sameSource(r.source, source) {
				b.resources[name] = r
				return
			}
			made := encode()
			if made.Version != r.Version {
				b.unchanged = false
			}
			b.resources[name] = made
			return
		}
	}
	b.unchanged = false
	b.resources[name] = encode()
}

// sources with an Equal method hold lists; all others are compared as they are.
func sameSource(a, b any) bool {
	if e, ok := a.(interface{ Equal(other any) bool }); ok {
		return e.Equal(b)
	}
	return a == b
}

// done gives the finished shard: the earlier one when all its resources are still there with the same content.
func (b *shardBuilder) done() *Shard {
	if b.unchanged && len(b.resources) == len(b.prev.Resources) {
		for name, r := range b.resources {
			if b.prev.Resources[name] != r {
				// Same bytes from other sources: keep the shard's identity, remember the new sources.
				b.prev = &Shard{Resources: b.resources}
				return b.prev
			}
		}
		return b.prev
	}
	return &Shard{Resources: b.resources}
}
