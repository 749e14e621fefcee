package xds

import (
	"slices"
	"strconv"
	"time"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/isthmus-mesh/isthmus/internal/translate"
)

// push sends every type in which the proxy lacks something, in the order in which Envoy wants them. A type whose last
// push is not answered yet waits, unless the proxy asked for something. Listeners and routes wait for upstreams, so
// that nothing is routed to an upstream that the proxy does not know yet.
func (c *conn) push() error {
	held, caughtUp := false, false
	for _, w := range c.watches {
		if w.seq == c.current.seq && len(w.owed) == 0 && !w.asked {
			continue
		}
		behind := held && (w.typeURL == typeListener || w.typeURL == typeRoute)
		if !w.asked && (w.waiting || behind) {
			held = held || w.typeURL == typeCluster && c.lags(w)
			continue
		}
		lagged := !w.fresh && w.seq != c.current.seq
		sent, err := c.pushType(w)
		if err != nil {
			return err
		}
		caughtUp = caughtUp || sent && lagged
	}
	if caughtUp {
		c.server.metrics.converged(c.current.at)
	}
	return nil
}

// lags says whether a watch holds older sets than there are.
func (c *conn) lags(w *watch) bool {
	next := c.sets(w)
	defer c.server.store.release(next)
	return !slices.Equal(next, w.sent)
}

// pushType brings one type up to date, and reports whether anything was sent.
func (c *conn) pushType(w *watch) (bool, error) {
	begin := time.Now()
	next := c.sets(w)
	var ch *change
	if c.incremental {
		ch = w.compare(next)
	} else {
		ch = w.worldChange(next)
	}
	must := w.asked && wholeTypes[w.typeURL]
	c.settled(w, next)
	if ch.empty() && !must {
		return false, nil
	}
	version := strconv.FormatUint(c.current.snapshot.Revision, 10)
	nonce := c.nextNonce(version)
	var parts mem.BufferSlice
	if c.incremental {
		parts = append(ch.deltaFrames(), mem.SliceBuffer(tail(w.typeURL, version, nonce, ch.removed)))
	} else {
		parts = c.worldParts(w, ch, version, nonce)
		if parts == nil {
			return false, nil
		}
	}
	c.launched(w, ch, nonce)
	c.server.metrics.pushTime.WithLabelValues(short(w.typeURL)).Observe(time.Since(begin).Seconds())
	size := parts.Len()
	if err := c.wire.SendMsg(&frames{parts}); err != nil {
		c.server.metrics.failed(w.typeURL)
		return false, err
	}
	c.server.metrics.sent(w.typeURL, size, ch.len())
	return true, nil
}

// sets gives the newest set of each of the proxy's classes. The stream becomes a user of them.
func (c *conn) sets(w *watch) []held {
	classes := c.server.opts.Generator.Classes(c.current.snapshot, c.proxy, w.typeURL)
	next := make([]held, 0, len(classes))
	done := false
	defer func() {
		if !done { // a build panicked
			c.server.store.release(next)
		}
	}()
	for _, class := range classes {
		next = append(next, held{shared: c.server.store.acquire(class)})
	}
	for i := range next {
		next[i].set = c.server.store.latest(next[i].shared, c.current, w.typeURL)
	}
	done = true
	return next
}

// settled notes that the proxy has, or is being sent, what it wants of the sets.
func (c *conn) settled(w *watch, next []held) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(w.owed) > few && len(next) == 1 {
		w.share(next[0].everything())
	}
	c.server.store.release(w.sent)
	w.sent, w.seq, w.fresh, w.told, w.owed, w.asked = next, c.current.seq, false, nil, nil, false
}

// launched notes a push that is about to be sent, and what must follow it.
func (c *conn) launched(w *watch, ch *change, nonce string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.nonce, w.sentAt, w.waiting, w.flight = nonce, time.Now(), true, ch.flight()
	if w.typeURL != typeCluster || ch.len() == 0 {
		return
	}
	// Envoy keeps a changed upstream warming until its endpoints arrive, and asks for them only if it never did: they
	// are sent again even if they did not change.
	if endpoints := c.watching(typeEndpoint); endpoints != nil {
		endpoints.owe(endpoints.names.among(ch.names()))
	} else if c.incremental {
		c.warming = c.warming.with(ch.names())
	}
}

// worldParts is the state-of-the-world form of a change. Names that are gone cannot be said in it: they are sent
// empty where the type has an empty form. It is nil if there is nothing to say.
func (c *conn) worldParts(w *watch, ch *change, version, nonce string) mem.BufferSlice {
	parts := ch.worldFrames()
	if !wholeTypes[w.typeURL] {
		for _, name := range ch.removed {
			if b := emptyResource(w.typeURL, name); b != nil {
				parts = append(parts, mem.SliceBuffer(b))
			}
		}
		if len(parts) == 0 {
			return nil
		}
	}
	return append(parts, mem.SliceBuffer(tail(w.typeURL, version, nonce, nil)))
}

// emptyResource is the frame of a resource that says there is nothing, or nil if its type has none.
func emptyResource(typeURL, name string) []byte {
	var m proto.Message
	switch typeURL {
	case typeEndpoint:
		m = &endpointv3.ClusterLoadAssignment{ClusterName: name}
	case typeRoute:
		m = &routev3.RouteConfiguration{Name: name}
	default:
		return nil
	}
	body, err := proto.Marshal(m)
	if err != nil {
		return nil // the name is no UTF-8: no proxy can have asked for it in a valid request
	}
	packed, err := proto.Marshal(&anypb.Any{TypeUrl: typeURL, Value: body})
	if err != nil {
		return nil
	}
	return appendWorld(nil, &translate.Resource{Any: packed})
}

// holding gives what the proxy holds of a type, as far as it was sent.
func (w *watch) holding() []*translate.Resource {
	var all []*translate.Resource
	for _, h := range w.sent {
		all = append(all, h.set.All()...)
	}
	return slices.DeleteFunc(all, func(r *translate.Resource) bool { return !w.wants(r.Name) })
}
