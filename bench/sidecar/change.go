package sidecar

import (
	"bytes"
	"sync/atomic"
	"time"
)

// Sign is how a sidecar knows that a change has arrived: a resource that is sent, or one that is taken away.
type Sign struct {
	Type Type
	Name string // empty: any resource of the type
	Text string // what the resource must hold; empty: it only has to be sent
	Gone bool   // the resource is taken away
}

// Change is something that every sidecar of a fleet is to be told of: all of its signs.
type Change struct {
	signs []Sign
	begun atomic.Pointer[time.Time]
	by    []progress // by sidecar
	left  atomic.Int64
	done  chan struct{} // closed when every sidecar has all signs
}

// progress is how far one sidecar is. Only the goroutine that serves it touches seen.
type progress struct {
	seen uint32       // a bit for each sign
	took atomic.Int64 // nanoseconds until the last sign came; 0: it has not
}

// NewChange describes a change.
func NewChange(signs ...Sign) *Change { return &Change{signs: signs, done: make(chan struct{})} }

// Begin starts the clock. What arrives earlier is no sign of this change.
func (c *Change) Begin() {
	now := time.Now()
	c.begun.Store(&now)
}

// Done is closed when every sidecar has the change.
func (c *Change) Done() <-chan struct{} { return c.done }

// Latencies gives how long the change took to each sidecar that has it, and how many have not.
func (c *Change) Latencies() (all []time.Duration, missing int) {
	for i := range c.by {
		if took := c.by[i].took.Load(); took > 0 {
			all = append(all, time.Duration(took))
		} else {
			missing++
		}
	}
	return all, missing
}

// saw notes that a sidecar got a sign.
func (c *Change) saw(sidecar, sign int, now time.Time) {
	p := &c.by[sidecar]
	p.seen |= 1 << sign
	if p.seen != 1<<len(c.signs)-1 {
		return
	}
	p.took.Store(max(1, int64(now.Sub(*c.begun.Load()))))
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
}

// due says whether a sidecar still lacks a sign of a change that has begun.
func (c *Change) due(sidecar, sign int) bool {
	return c.by[sidecar].seen&(1<<sign) == 0 && c.begun.Load() != nil
}

// awaited are the signs that a fleet looks for, by what they are found by. It is not changed once it is in use.
type awaited struct {
	named [types]map[string][]signOf // by the name of the resource
	any   [types][]signOf            // whatever its name is
	gone  [types]map[string][]signOf
}

type signOf struct {
	change *Change
	number int // of the sign
	text   []byte
}

func newAwaited(changes []*Change, sidecars int) *awaited {
	a := &awaited{}
	for t := range types {
		a.named[t], a.gone[t] = map[string][]signOf{}, map[string][]signOf{}
	}
	for _, c := range changes {
		c.by = make([]progress, sidecars)
		c.left.Store(int64(sidecars))
		for i, s := range c.signs {
			of := signOf{c, i, []byte(s.Text)}
			switch {
			case s.Gone:
				a.gone[s.Type][s.Name] = append(a.gone[s.Type][s.Name], of)
			case s.Name == "":
				a.any[s.Type] = append(a.any[s.Type], of)
			default:
				a.named[s.Type][s.Name] = append(a.named[s.Type][s.Name], of)
			}
		}
	}
	return a
}

// look finds signs in a response to a sidecar.
func (a *awaited) look(sidecar int, t Type, r *response, now time.Time) {
	found := func(signs []signOf, body []byte) {
		for _, s := range signs {
			if s.change.due(sidecar, s.number) && bytes.Contains(body, s.text) {
				s.change.saw(sidecar, s.number, now)
			}
		}
	}
	if len(a.named[t]) > 0 || len(a.any[t]) > 0 {
		for _, res := range r.resources {
			found(a.named[t][string(res.name)], res.body)
			found(a.any[t], res.body)
		}
	}
	for _, name := range r.removed {
		found(a.gone[t][string(name)], nil)
	}
}
