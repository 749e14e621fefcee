package xds

import (
	"slices"
	"unicode/utf8"

	"google.golang.org/grpc/mem"

	"github.com/isthmus-mesh/isthmus/internal/translate"
)

// change is what a proxy is sent to come from what it holds to what it should hold.
type change struct {
	parts   []part
	removed []string
}

// part is resources of one class. Whole says that they are all of a batch, so that its joined bytes can be sent.
type part struct {
	resources []*translate.Resource
	whole     *batch
}

func (c *change) add(b *batch, keep func(*translate.Resource) bool) {
	kept := b.resources
	for i, r := range b.resources {
		if keep(r) {
			continue
		}
		kept = slices.Clone(b.resources[:i])
		for _, r := range b.resources[i+1:] {
			if keep(r) {
				kept = append(kept, r)
			}
		}
		break
	}
	p := part{resources: kept}
	if len(kept) == len(b.resources) {
		p.whole = b
	}
	if len(kept) > 0 {
		c.parts = append(c.parts, p)
	}
}

func (c *change) addOne(r *translate.Resource) {
	c.parts = append(c.parts, part{resources: []*translate.Resource{r}})
}

func (c *change) empty() bool { return len(c.parts) == 0 && len(c.removed) == 0 }

func (c *change) len() (n int) {
	for _, p := range c.parts {
		n += len(p.resources)
	}
	return n
}

// names gives those of the resources that are sent, sorted.
func (c *change) names() names {
	if len(c.parts) == 1 && c.parts[0].whole != nil {
		return c.parts[0].whole.names()
	}
	list := make([]string, 0, c.len())
	for _, p := range c.parts {
		for _, r := range p.resources {
			list = append(list, r.Name)
		}
	}
	return newNames(list)
}

// flight is the resources alone, for the time until they are acknowledged.
func (c *change) flight() [][]*translate.Resource {
	out := make([][]*translate.Resource, len(c.parts))
	for i, p := range c.parts {
		out[i] = p.resources
	}
	return out
}

func (c *change) deltaFrames() mem.BufferSlice {
	parts := make(mem.BufferSlice, 0, len(c.parts)+1)
	for _, p := range c.parts {
		if p.whole != nil {
			parts = append(parts, p.whole.delta())
			continue
		}
		for _, r := range p.resources {
			parts = deltaFrame(parts, r)
		}
	}
	return parts
}

func (c *change) worldFrames() mem.BufferSlice {
	parts := make(mem.BufferSlice, 0, len(c.parts)+1)
	for _, p := range c.parts {
		if p.whole != nil {
			parts = append(parts, p.whole.world())
			continue
		}
		for _, r := range p.resources {
			parts = worldFrame(parts, r)
		}
	}
	return parts
}

// compare works out what a watch lacks of the sets that it should hold.
func (w *watch) compare(next []held) *change {
	c := &change{}
	switch {
	case w.told != nil:
		w.sinceTold(c, next)
	case w.fresh && w.wildcard:
		for _, h := range next {
			c.add(h.everything(), w.due)
		}
	case w.fresh: // all that is wanted is owed
	default:
		w.sinceSent(c, next)
	}
	w.settle(c, next)
	slices.Sort(c.removed)
	c.removed = slices.Compact(c.removed)
	return c
}

// due says whether a resource is sent because it changed: it is wanted, and not sent anyway.
func (w *watch) due(r *translate.Resource) bool { return w.wants(r.Name) && !w.owed.has(r.Name) }

// sinceTold compares with what a returning proxy said it has.
func (w *watch) sinceTold(c *change, next []held) {
	left := make(map[string]bool, len(w.told))
	for name := range w.told {
		left[name] = w.wants(name)
	}
	for _, h := range next {
		all := h.everything()
		c.add(all, func(r *translate.Resource) bool { return w.due(r) && w.told[r.Name] != r.Version })
		for _, r := range all.resources {
			delete(left, r.Name)
		}
	}
	for name, wants := range left {
		if wants {
			c.removed = append(c.removed, name)
		}
	}
}

// sinceSent compares with the sets that were sent before. A proxy's classes may have changed meanwhile: then sets of
// the same part are compared, and what a class that went has left behind is removed.
func (w *watch) sinceSent(c *change, next []held) {
	rest := slices.Clone(w.sent)
	take := func(match func(held) bool) *translate.Set {
		if i := slices.IndexFunc(rest, match); i >= 0 {
			set := rest[i].set
			rest = slices.Delete(rest, i, i+1)
			return set
		}
		return nil
	}
	was := make([]*translate.Set, len(next))
	for i, h := range next {
		was[i] = take(func(o held) bool { return o.shared.class == h.shared.class })
	}
	var removed []string
	for i, h := range next {
		if was[i] == nil {
			was[i] = take(func(o held) bool { return o.shared.class.Part == h.shared.class.Part })
		}
		if was[i] == h.set {
			continue
		}
		b := h.since(was[i])
		c.add(b, w.due)
		removed = append(removed, b.removed...)
	}
	for _, h := range rest {
		for _, r := range h.set.All() {
			removed = append(removed, r.Name)
		}
	}
	for _, name := range removed {
		if w.wants(name) && !w.owed.has(name) && lookup(next, name) == nil { // it may have moved to another class or shard
			c.removed = append(c.removed, name)
		}
	}
}

// few is up to how many names are looked up one by one.
const few = 16

// settle adds what is owed: the resource, or that there is none.
func (w *watch) settle(c *change, next []held) {
	if len(w.owed) <= few {
		for _, name := range w.owed {
			if r := lookup(next, name); r != nil {
				c.addOne(r)
			} else {
				c.none(w.typeURL, name)
			}
		}
		return
	}
	absent := w.owed
	for _, h := range next {
		all := h.everything()
		c.add(all, func(r *translate.Resource) bool { return w.owed.has(r.Name) })
		absent = absent.without(all.names())
	}
	for _, name := range absent {
		c.none(w.typeURL, name)
	}
}

// none answers a name that there is nothing of. Envoy takes no notice of a removal of routes that it does not hold, and would wait for
// them 15 seconds: a route configuration that went between a listener and its question is answered with an empty one.
func (c *change) none(typeURL, name string) {
	if typeURL == typeRoute && utf8.ValidString(name) {
		c.addOne(translate.NoRoutes(name))
		return
	}
	c.removed = append(c.removed, name)
}

// worldChange is compare for the state-of-the-world protocol: whole types are sent whole if anything in them changed.
func (w *watch) worldChange(next []held) *change {
	c := w.compare(next)
	if !wholeTypes[w.typeURL] || c.empty() && !w.asked {
		return c
	}
	whole := &change{removed: c.removed}
	for _, h := range next {
		whole.add(h.everything(), func(r *translate.Resource) bool { return w.wants(r.Name) })
	}
	return whole
}
