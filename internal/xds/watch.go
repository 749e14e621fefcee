package xds

import (
	"slices"
	"strings"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/translate"
)

// watch is what a stream knows of one type: what the proxy wants, and what it holds.
type watch struct {
	typeURL  string
	wildcard bool  // the proxy wants all there is
	names    names // and these, by name
	seq      uint64
	begun    bool              // a first request has been taken in
	fresh    bool              // nothing has been compared yet
	sent     []held            // what the proxy holds of the names it wants, but for those owed
	told     map[string]string // versions that a returning proxy has; nil after the first comparison
	owed     names             // to be sent whether they changed or not, absent ones as removed
	asked    bool              // the proxy waits for an answer

	nonce, acked    string // of the last push sent, and of the last one accepted; empty: none
	sentAt, ackedAt time.Time
	waiting         bool                    // the last push is neither accepted nor refused
	flight          [][]*translate.Resource // what that push held
	refused         string                  // why the last answer was a refusal; empty if it was not
	rejected        names                   // the resources of the refused push
}

// wants says whether the proxy subscribed to a name.
func (w *watch) wants(name string) bool { return w.wildcard || w.names.has(name) }

// owe notes names that must be sent.
func (w *watch) owe(n names) { w.owed = w.owed.with(n) }

// delta takes in a request of the incremental protocol
// (https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#incremental-xds).
func (w *watch) delta(r *request, warming names) {
	add, drop := newNames(r.subscribe), newNames(r.unsubscribe)
	if w.begun {
		w.change(add, drop)
		return
	}
	w.begun, w.asked = true, true
	if len(r.versions) > 0 {
		w.told = r.versions
		// Endpoints of an upstream that was just sent again must follow it, known or not.
		for _, name := range warming {
			delete(w.told, name)
		}
	}
	if wholeTypes[w.typeURL] {
		w.wildcard = w.wildcard || len(add) == 0
	} else {
		for name := range r.versions {
			add = append(add, name)
		}
		add = newNames(add)
	}
	var unknown names
	for _, name := range add {
		if _, known := w.told[name]; !known {
			unknown = append(unknown, name)
		}
	}
	w.names = w.names.with(w.star(add))
	w.owe(w.star(unknown))
}

// star takes the name for everything out of a list.
func (w *watch) star(n names) names {
	if !n.has("*") {
		return n
	}
	w.wildcard = true
	return n.without(names{"*"})
}

// change adds and drops names of a subscription that stands.
func (w *watch) change(add, drop names) {
	if drop.has("*") {
		// What was asked for by name stays; the rest the proxy has forgotten.
		w.wildcard, drop = false, drop.without(names{"*"})
	}
	w.names = w.names.without(drop)
	w.owed = w.owed.without(drop)
	if w.wildcard {
		w.owe(drop) // still wanted, by the wildcard: the proxy must hear what becomes of them
	}
	had := w.wildcard
	add = w.star(add)
	w.names = w.names.with(add)
	w.owe(add)
	if w.wildcard && !had {
		w.restart()
	}
	w.asked = w.asked || len(w.owed) > 0 && (len(add) > 0 || len(drop) > 0)
}

// restart makes the next push a complete one.
func (w *watch) restart() { w.fresh, w.asked = true, true }

// world takes in a request of the state-of-the-world protocol that is not a refusal. Its names are all that the proxy wants.
func (w *watch) world(r *request) {
	all := newNames(r.subscribe)
	wild := w.wildcard
	w.wildcard = wholeTypes[w.typeURL] && (len(all) == 0 || all.has("*"))
	all = all.without(names{"*"})
	if w.fresh || r.nonce == "" {
		w.names, w.owed = all, all
		w.restart()
		return
	}
	added := all.without(w.names)
	w.names, w.owed = all, w.owed.among(all)
	if len(added) > 0 || w.wildcard && !wild {
		w.owe(added)
		w.asked = true
	}
}

// answered notes what the proxy says of a push. It reports whether the push was the last one; older answers say nothing.
func (w *watch) answered(r *request, now time.Time) bool {
	if r.nonce != w.nonce {
		return false
	}
	w.waiting = false
	if r.problem == nil {
		w.acked, w.ackedAt, w.refused, w.rejected = w.nonce, now, "", nil
	}
	return true
}

// maxRefusal bounds the error text that is kept of a proxy, in bytes.
const maxRefusal = 4 << 10

// refuse notes why the proxy refused the last push. It gives the names that have to be sent once more, without those
// that the proxy complained of: one bad resource must not keep the good ones away. Each time there are fewer, so that
// this comes to an end.
func (w *watch) refuse(why string) (again names) {
	if why == "" {
		why = "refused without a reason"
	}
	w.refused = strings.Clone(why[:min(len(why), maxRefusal)])
	var all, bad names
	for _, resources := range w.flight {
		for _, r := range resources {
			all = append(all, r.Name)
			if mentions(why, r.Name) {
				bad = append(bad, r.Name)
			}
		}
	}
	w.rejected = newNames(all)
	if len(bad) == 0 {
		return nil
	}
	return w.rejected.without(newNames(bad))
}

// mentions says whether a text holds a name that is not a piece of a longer one.
func mentions(text, name string) bool {
	inName := func(b byte) bool {
		return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '-' || b == '_'
	}
	for at := 0; name != ""; {
		i := strings.Index(text[at:], name)
		if i < 0 {
			return false
		}
		begin, end := at+i, at+i+len(name)
		if (begin == 0 || !inName(text[begin-1])) && (end == len(text) || !inName(text[end])) {
			return true
		}
		at = begin + 1
	}
	return false
}

// share replaces names by those of a batch if they are the same, so that streams of a class keep one copy.
func (w *watch) share(b *batch) {
	if len(w.names) > 16 && len(w.names) == len(b.resources) && slices.Equal(w.names, b.names()) {
		w.names = b.names()
	}
}
