package sidecar

import (
	"maps"
	"slices"
	"unique"
)

// session is what a sidecar knows. As in Envoy it outlives the streams: who returns says what it has. It does no I/O.
type session struct {
	names bool // the agent asks for the name table
	delta bool
	keep  bool // the bodies of resources

	subs [types]subscription
}

// subscription is what a session knows of one type.
type subscription struct {
	held     map[string]string   // resources, with their versions (of the delta protocol)
	bodies   map[string][]byte   // of what is held, if they are kept
	refers   map[string][]string // what each resource makes the sidecar ask for
	wanted   map[string]int      // names that others refer to, and how often
	open     bool                // asked for on this stream
	answered bool                // on this stream
	owed     map[string]bool     // asked for, not held, and not answered on this stream
	nonce    string
	version  string // of the last response (state of the world)
}

// request is what the sidecar sends next.
type request struct {
	typ       Type
	nonce     string // of the response that it acknowledges; empty if none
	first     bool   // of its type on this stream
	add, drop []string
}

func newSession(o Options) *session {
	s := &session{names: o.Names, delta: !o.WorldState, keep: o.Keep}
	for t := range s.subs {
		s.subs[t] = subscription{
			held: map[string]string{}, bodies: map[string][]byte{}, refers: map[string][]string{}, wanted: map[string]int{},
		}
	}
	return s
}

// begin gives the first requests of a stream: of a new sidecar those that depend on nothing, of a returning one all.
func (s *session) begin() []request {
	returns := len(s.subs[Upstreams].held) > 0
	for t := range s.subs {
		sub := &s.subs[t]
		sub.open, sub.answered, sub.nonce, sub.version, sub.owed = false, false, "", "", map[string]bool{}
	}
	var requests []request
	for _, t := range All {
		switch {
		case t == Names && !s.names:
		case t == Names, t == Upstreams, returns && t.whole(), returns && len(s.subs[t].wanted) > 0:
			requests = append(requests, s.open(t))
		}
	}
	return requests
}

// open is the first request of a type on a stream.
func (s *session) open(t Type) request {
	sub := &s.subs[t]
	sub.open = true
	for name := range sub.wanted {
		if _, held := sub.held[name]; !held || !s.delta {
			sub.owed[name] = true
		}
	}
	return request{typ: t, first: true, add: sub.all()}
}

// all are the names of a subscription; none for types that are wanted whole.
func (sub *subscription) all() []string { return slices.Collect(maps.Keys(sub.wanted)) }

// take takes in a response. It gives what the sidecar asks then, and how many resources were sent that it had already.
func (s *session) take(t Type, r *response) (requests []request, repeated int, err error) {
	sub := &s.subs[t]
	sub.answered, sub.nonce, sub.version = true, string(r.nonce), string(r.version)
	touched := map[string]bool{}
	seen := map[string]bool{} // in the state of the world, what is not in it is gone
	for _, res := range r.resources {
		name, version := intern(res.name), intern(res.version)
		if t == Names && !s.delta {
			name = t.String() // there is only one, and it does not hold its name
		}
		if !t.whole() && sub.wanted[name] == 0 {
			continue // sent before the server heard that it is not wanted any more
		}
		if version != "" && sub.held[name] == version {
			repeated++
		}
		sub.held[name] = version
		delete(sub.owed, name)
		if s.keep {
			sub.bodies[name] = slices.Clone(res.body)
		}
		if err := s.refer(t, name, res.body, touched); err != nil {
			return nil, 0, err
		}
		if !s.delta && t.whole() {
			seen[name] = true
		}
	}
	for _, name := range r.removed {
		s.forget(t, string(name), touched)
	}
	if !s.delta && t.whole() {
		for name := range sub.held {
			if !seen[name] {
				r.removed = append(r.removed, []byte(name))
				s.forget(t, name, touched)
			}
		}
	}
	return append([]request{{typ: t, nonce: sub.nonce}}, s.follow(t, touched)...), repeated, nil
}

func intern(b []byte) string { return unique.Make(string(b)).Value() }

func (s *session) forget(t Type, name string, touched map[string]bool) {
	sub := &s.subs[t]
	delete(sub.held, name)
	delete(sub.bodies, name)
	delete(sub.owed, name)
	s.replace(t, name, nil, touched)
}

// refer notes which names of the child type a resource holds.
func (s *session) refer(t Type, name string, body []byte, touched map[string]bool) (err error) {
	var names []string
	switch t {
	case Upstreams:
		var one string
		if one, err = endpointsOf(body); one != "" {
			names = []string{unique.Make(one).Value()}
		}
	case Listeners:
		names, err = routesOf(body)
	}
	s.replace(t, name, names, touched)
	return err
}

// replace changes what a resource refers to. Touched holds names whose count changed, and whether they were wanted before.
func (s *session) replace(t Type, name string, names []string, touched map[string]bool) {
	child, has := t.child()
	if !has {
		return
	}
	count := func(name string, by int) {
		wanted := s.subs[child].wanted
		if _, known := touched[name]; !known {
			touched[name] = wanted[name] > 0
		}
		if wanted[name] += by; wanted[name] == 0 {
			delete(wanted, name)
		}
	}
	for _, n := range names {
		count(n, 1)
	}
	for _, n := range s.subs[t].refers[name] {
		count(n, -1)
	}
	if len(names) == 0 {
		delete(s.subs[t].refers, name)
	} else {
		s.subs[t].refers[name] = names
	}
}

// follow is what a sidecar asks after a response: a changed subscription of the child type, and listeners once all
// endpoints are there.
func (s *session) follow(t Type, touched map[string]bool) (requests []request) {
	if child, has := t.child(); has && len(touched) > 0 {
		if q, changed := s.subscribe(child, touched); changed {
			requests = append(requests, q)
		}
	}
	if !s.subs[Listeners].open && s.subs[Upstreams].answered && len(s.subs[Endpoints].owed) == 0 {
		requests = append(requests, s.open(Listeners))
	}
	return requests
}

func (s *session) subscribe(t Type, touched map[string]bool) (request, bool) {
	sub := &s.subs[t]
	if !sub.open {
		return s.open(t), true
	}
	q := request{typ: t}
	for name, was := range touched {
		switch now := sub.wanted[name] > 0; {
		case now && !was:
			q.add = append(q.add, name)
			sub.owed[name] = true
		case was && !now:
			q.drop = append(q.drop, name)
			delete(sub.held, name)
			delete(sub.bodies, name)
			delete(sub.owed, name)
		}
	}
	return q, len(q.add)+len(q.drop) > 0
}

// complete says whether the sidecar has all of its configuration.
func (s *session) complete() bool {
	return s.subs[Upstreams].answered && s.subs[Listeners].answered && (s.subs[Names].answered || !s.names) &&
		len(s.subs[Endpoints].owed) == 0 && len(s.subs[Routes].owed) == 0
}
