package xds

import (
	"runtime"
	"sync"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/isthmus-mesh/isthmus/internal/translate"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// store keeps the latest set of each class that has streams. A set is built when it is first asked for, once a
// snapshot, however many streams ask.
type store struct {
	gen     Generator
	metrics *metrics
	slots   chan struct{} // as many builds run at once as there are processors

	mu      sync.Mutex // guards classes, and the users and idleSince of each
	classes map[view.Class]*shared
}

func newStore(gen Generator, m *metrics) *store {
	return &store{
		gen: gen, metrics: m, slots: make(chan struct{}, runtime.GOMAXPROCS(0)),
		classes: map[view.Class]*shared{},
	}
}

// shared is what all streams of a class have in common.
type shared struct {
	class     view.Class
	users     int       // streams and types that hold it; guarded by store.mu
	idleSince time.Time // when the last user left; guarded by store.mu

	mu   sync.Mutex // guards what follows; held while a set is built, so that others wait for it
	seq  uint64     // of the publication that set was built for
	set  *translate.Set
	all  *batch // of set; nil until a stream needs all of it
	diff *batch // from the set diffFrom to set; nil until asked for
	from *translate.Set
}

// held is a set that a stream has, or is about to get.
type held struct {
	shared *shared
	set    *translate.Set
}

// acquire finds or makes the entry of a class and counts the caller as its user.
func (s *store) acquire(c view.Class) *shared {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.classes[c]
	if sh == nil {
		sh = &shared{class: c}
		s.classes[c] = sh
	}
	sh.users++
	return sh
}

func (s *store) release(all []held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range all {
		h.shared.users--
		h.shared.idleSince = time.Now()
	}
}

// sweep forgets the classes that nobody has used since a time. They outlive their streams for a while because proxies
// that lose their connection come back together.
func (s *store) sweep(before time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c, sh := range s.classes {
		if sh.users == 0 && sh.idleSince.Before(before) {
			delete(s.classes, c)
		}
	}
}

// latest gives the set of a class for a publication, or for a newer one if that is built already.
func (s *store) latest(sh *shared, p *publication, typeURL string) *translate.Set {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.set != nil && sh.seq >= p.seq {
		return sh.set
	}
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	set := s.gen.Build(p.snapshot, sh.class, sh.set)
	if set == nil {
		set = &translate.Set{}
	}
	s.metrics.built(typeURL, rebuilt(set, sh.set))
	if set != sh.set {
		sh.set, sh.all, sh.diff, sh.from = set, nil, nil, nil
	}
	sh.seq = p.seq
	return set
}

// rebuilt counts the resources of set that prev does not share.
func rebuilt(set, prev *translate.Set) (n int) {
	for key, shard := range set.Shards {
		var was *translate.Shard
		if prev != nil {
			was = prev.Shards[key]
		}
		switch {
		case was == nil:
			n += len(shard.Resources)
		case was != shard:
			for name, r := range shard.Resources {
				if was.Resources[name] != r {
					n++
				}
			}
		}
	}
	return n
}

// batch is resources in the order they are sent, with the frames that streams share. It does not change.
type batch struct {
	resources []*translate.Resource
	removed   []string
	delta     func() mem.Buffer // all resources for a delta response, joined at first use
	world     func() mem.Buffer // the same for a state-of-the-world response
	names     func() names
}

func newBatch(resources []*translate.Resource, removed []string) *batch {
	return &batch{
		resources: resources, removed: removed,
		delta: sync.OnceValue(func() mem.Buffer {
			if len(resources) == 1 {
				return mem.SliceBuffer(resources[0].Delta)
			}
			return join(resources, appendDelta)
		}),
		world: sync.OnceValue(func() mem.Buffer { return join(resources, appendWorld) }),
		names: sync.OnceValue(func() names {
			list := make([]string, len(resources))
			for i, r := range resources {
				list[i] = r.Name
			}
			return newNames(list)
		}),
	}
}

// everything is all resources of the set.
func (h held) everything() *batch {
	h.shared.mu.Lock()
	defer h.shared.mu.Unlock()
	if h.set != h.shared.set {
		return newBatch(h.set.All(), nil) // a newer set has come meanwhile
	}
	if h.shared.all == nil {
		h.shared.all = newBatch(h.set.All(), nil)
	}
	return h.shared.all
}

// since is what a holder of old lacks. Most streams of a class hold the same, so the last answer is kept.
func (h held) since(old *translate.Set) *batch {
	h.shared.mu.Lock()
	defer h.shared.mu.Unlock()
	current := h.set == h.shared.set
	if current && h.shared.diff != nil && h.shared.from == old {
		return h.shared.diff
	}
	b := newBatch(h.set.Diff(old))
	if current {
		h.shared.diff, h.shared.from = b, old
	}
	return b
}

// lookup finds a resource in any of the sets.
func lookup(sets []held, name string) *translate.Resource {
	for _, h := range sets {
		if r := h.set.Lookup(name); r != nil {
			return r
		}
	}
	return nil
}
