// Package translate writes Envoy resources from views. It is pure: the same view gives the same bytes. What a resource
// was made from is kept beside it, so that a change rebuilds those resources that read it and no other.
package translate

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Resource is one xDS resource, encoded once for all proxies that get it. It is immutable for ever: streams keep
// references to its bytes after they have sent them.
type Resource struct {
	Name    string
	Version string // of the content: equal bytes have equal versions, in every control plane
	Any     []byte // google.protobuf.Any, marshalled
	Delta   []byte // envoy.service.discovery.v3.Resource as field 2 of a DeltaDiscoveryResponse, tag and length included

	source any // what it was made from; comparable
}

// newResource encodes a message. The type URL is type.googleapis.com/ and the message's full name.
func newResource(name string, m proto.Message, source any) *Resource {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		// Marshalling fails for invalid UTF-8 only, and names from Kubernetes hold none.
		panic(fmt.Sprintf("translate: marshal %s: %v", name, err))
	}
	return encode(name, "type.googleapis.com/"+string(m.ProtoReflect().Descriptor().FullName()), body, source)
}

func encode(name, typeURL string, body []byte, source any) *Resource {
	sum := xxhash.Sum64(body)
	version := hex.EncodeToString([]byte{
		byte(sum >> 56), byte(sum >> 48), byte(sum >> 40), byte(sum >> 32), byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum),
	})
	packed := protowire.AppendTag(nil, 1, protowire.BytesType)
	packed = protowire.AppendString(packed, typeURL)
	packed = protowire.AppendTag(packed, 2, protowire.BytesType)
	packed = protowire.AppendBytes(packed, body)

	// Resource{version = 1, resource = 2, name = 3}
	inner := protowire.AppendTag(nil, 1, protowire.BytesType)
	inner = protowire.AppendString(inner, version)
	inner = protowire.AppendTag(inner, 2, protowire.BytesType)
	at := protowire.SizeBytes(len(packed)) - len(packed) + len(inner)
	inner = protowire.AppendBytes(inner, packed)
	inner = protowire.AppendTag(inner, 3, protowire.BytesType)
	inner = protowire.AppendString(inner, name)

	frame := make([]byte, 0, len(inner)+8)
	frame = protowire.AppendTag(frame, 2, protowire.BytesType)
	frame = protowire.AppendVarint(frame, uint64(len(inner)))
	start := len(frame) + at
	frame = append(frame, inner...)
	return &Resource{
		Name: name, Version: version, source: source,
		Any:   frame[start : start+len(packed) : start+len(packed)],
		Delta: frame,
	}
}

// Shard is a part of a Set that changes together: what comes from one namespace.
type Shard struct {
	Resources map[string]*Resource
}

// Set is all resources of one type that one class of proxies gets. Shards that did not change keep their pointer, and
// so do resources inside the ones that did.
type Set struct {
	Shards map[string]*Shard

	sources map[string]any // what each shard was made from; comparable
}

// Lookup finds a resource by its name.
func (s *Set) Lookup(name string) *Resource {
	if s == nil {
		return nil
	}
	for _, shard := range s.Shards {
		if r := shard.Resources[name]; r != nil {
			return r
		}
	}
	return nil
}

// Len counts the resources.
func (s *Set) Len() int {
	n := 0
	if s != nil {
		for _, shard := range s.Shards {
			n += len(shard.Resources)
		}
	}
	return n
}

// All gives every resource, ordered by shard and name.
func (s *Set) All() []*Resource {
	all := make([]*Resource, 0, s.Len())
	if s == nil {
		return all
	}
	for _, key := range slices.Sorted(maps.Keys(s.Shards)) {
		shard := s.Shards[key]
		for _, name := range slices.Sorted(maps.Keys(shard.Resources)) {
			all = append(all, shard.Resources[name])
		}
	}
	return all
}

// Diff gives what a holder of old has to be sent to hold s: the resources whose version differs, ordered as All, and
// the names that are gone, sorted. Its cost grows with the shards that changed. Old may be nil.
func (s *Set) Diff(old *Set) (changed []*Resource, removed []string) {
	var before map[string]*Shard
	if old != nil {
		before = old.Shards
	}
	for _, key := range slices.Sorted(maps.Keys(s.Shards)) {
		shard, was := s.Shards[key], before[key]
		if shard == was {
			continue
		}
		var had map[string]*Resource
		if was != nil {
			had = was.Resources
		}
		for _, name := range slices.Sorted(maps.Keys(shard.Resources)) {
			r := shard.Resources[name]
			if prev := had[name]; prev == nil || prev != r && prev.Version != r.Version {
				changed = append(changed, r)
			}
		}
		for name := range had {
			if shard.Resources[name] == nil {
				removed = append(removed, name)
			}
		}
	}
	for key, was := range before {
		if s.Shards[key] == nil {
			for name := range was.Resources {
				removed = append(removed, name)
			}
		}
	}
	slices.Sort(removed)
	return changed, removed
}

// NewSet makes a set of one shard from messages by name. Generators share more than this; it serves tests and fixed sets.
func NewSet(messages map[string]proto.Message) *Set {
	shard := &Shard{Resources: make(map[string]*Resource, len(messages))}
	for name, m := range messages {
		shard.Resources[name] = newResource(name, m, nil)
	}
	return &Set{Shards: map[string]*Shard{"": shard}}
}
