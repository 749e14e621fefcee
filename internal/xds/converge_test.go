package xds

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/isthmus-mesh/isthmus/internal/translate"
)

// holder is what a proxy holds by type and name, as bytes. It behaves as Envoy does: endpoints are asked for by the
// names of the upstreams.
type holder struct {
	mu       sync.Mutex // guards what follows
	has      map[string]map[string]string
	versions map[string]map[string]string // delta
}

func newHolder() *holder {
	h := &holder{has: map[string]map[string]string{}, versions: map[string]map[string]string{}}
	for _, t := range []string{typeCluster, typeEndpoint, typeListener, typeRoute} {
		h.has[t], h.versions[t] = map[string]string{}, map[string]string{}
	}
	return h
}

func (h *holder) upstreamNames() []string {
	return slices.Sorted(maps.Keys(h.has[typeCluster]))
}

// watches says whether a proxy takes in a resource: endpoints only of upstreams that it has.
func (h *holder) watches(typeURL, name string) bool {
	_, ok := h.has[typeCluster][name]
	return ok || typeURL != typeEndpoint
}

// delta plays one stream of the incremental protocol until it ends.
func (h *holder) delta(ctx context.Context, m *mesh) error {
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(m.conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return err
	}
	h.mu.Lock()
	subscribed := map[string]bool{}
	for i, t := range []string{typeCluster, typeEndpoint, typeListener, typeRoute} {
		r := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: t, InitialResourceVersions: maps.Clone(h.versions[t])}
		if i == 0 {
			r.Node = node("delta", "default")
		}
		switch t {
		case typeEndpoint:
			r.ResourceNamesSubscribe = h.upstreamNames()
			for _, name := range r.ResourceNamesSubscribe {
				subscribed[name] = true
			}
		case typeRoute:
			r.ResourceNamesSubscribe = []string{"r1", "r3"}
		}
		if err := stream.Send(r); err != nil {
			break
		}
	}
	h.mu.Unlock()
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		h.mu.Lock()
		for _, res := range r.GetResources() {
			if !h.watches(r.GetTypeUrl(), res.GetName()) {
				continue // it was on its way when the name was dropped
			}
			h.has[r.GetTypeUrl()][res.GetName()] = string(res.GetResource().GetValue())
			h.versions[r.GetTypeUrl()][res.GetName()] = res.GetVersion()
			if r.GetTypeUrl() == typeRoute && isEmpty(typeRoute, res.GetResource().GetValue(), res.GetName()) {
				delete(h.has[typeRoute], res.GetName()) // there are no such routes
			}
		}
		for _, name := range r.GetRemovedResources() {
			delete(h.has[r.GetTypeUrl()], name)
			delete(h.versions[r.GetTypeUrl()], name)
		}
		ack := []*discoveryv3.DeltaDiscoveryRequest{{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()}}
		if r.GetTypeUrl() == typeCluster {
			ack = append(ack, h.follow(subscribed))
		}
		h.mu.Unlock()
		for _, a := range ack {
			_ = stream.Send(a) // Recv tells why the stream ended
		}
	}
}

// follow subscribes the endpoints of the upstreams that came, and drops those of the ones that went.
func (h *holder) follow(subscribed map[string]bool) *discoveryv3.DeltaDiscoveryRequest {
	r := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeEndpoint}
	for name := range h.has[typeCluster] {
		if !subscribed[name] {
			subscribed[name] = true
			r.ResourceNamesSubscribe = append(r.ResourceNamesSubscribe, name)
		}
	}
	for name := range subscribed {
		if _, ok := h.has[typeCluster][name]; !ok {
			delete(subscribed, name)
			delete(h.has[typeEndpoint], name)
			delete(h.versions[typeEndpoint], name)
			r.ResourceNamesUnsubscribe = append(r.ResourceNamesUnsubscribe, name)
		}
	}
	return r
}

// world plays one stream of the state-of-the-world protocol until it ends.
func (h *holder) world(ctx context.Context, m *mesh, t *testing.T) error {
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(m.conn).StreamAggregatedResources(ctx)
	if err != nil {
		return err
	}
	last := map[string]*discoveryv3.DiscoveryResponse{}
	names := func(typeURL string) []string {
		switch typeURL {
		case typeEndpoint:
			return h.upstreamNames()
		case typeRoute:
			return []string{"r1", "r3"}
		default:
			return nil
		}
	}
	send := func(typeURL string) {
		_ = stream.Send(&discoveryv3.DiscoveryRequest{ // Recv tells why the stream ended
			Node: node("world", "default"), TypeUrl: typeURL, ResourceNames: names(typeURL),
			ResponseNonce: last[typeURL].GetNonce(), VersionInfo: last[typeURL].GetVersionInfo(),
		})
	}
	h.mu.Lock()
	for _, typeURL := range []string{typeCluster, typeEndpoint, typeListener, typeRoute} {
		send(typeURL)
	}
	h.mu.Unlock()
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		h.mu.Lock()
		last[r.GetTypeUrl()] = r
		if wholeTypes[r.GetTypeUrl()] {
			clear(h.has[r.GetTypeUrl()])
		}
		for _, res := range r.GetResources() {
			name := resourceName(t, res.GetTypeUrl(), res.GetValue())
			h.has[r.GetTypeUrl()][name] = string(res.GetValue())
			if isEmpty(res.GetTypeUrl(), res.GetValue(), name) || !h.watches(r.GetTypeUrl(), name) {
				delete(h.has[r.GetTypeUrl()], name)
			}
		}
		send(r.GetTypeUrl())
		if r.GetTypeUrl() == typeCluster {
			for name := range h.has[typeEndpoint] {
				if _, ok := h.has[typeCluster][name]; !ok {
					delete(h.has[typeEndpoint], name)
				}
			}
			send(typeEndpoint)
		}
		h.mu.Unlock()
	}
}

func isEmpty(typeURL string, body []byte, name string) bool {
	var m proto.Message = &routev3.RouteConfiguration{Name: name}
	switch typeURL {
	case typeCluster, typeListener:
		return false
	case typeEndpoint:
		m = &endpointv3.ClusterLoadAssignment{ClusterName: name}
	}
	empty, err := proto.Marshal(m)
	return err == nil && string(empty) == string(body)
}

// due is what a proxy of the world must hold in the end.
func (w *world) due(proxy string) map[string]map[string]string {
	bodies := func(keep func(string) bool, sets ...*translate.Set) map[string]string {
		out := map[string]string{}
		for _, s := range sets {
			for _, r := range s.All() {
				if keep(r.Name) {
					out[r.Name] = string(unpack(r).GetValue())
				}
			}
		}
		return out
	}
	all := func(string) bool { return true }
	d := map[string]map[string]string{
		typeCluster:  bodies(all, w.sets[upstreams], w.sets[inbound(w.ports[proxy])]),
		typeListener: bodies(all, w.sets[listeners]),
		typeRoute:    bodies(func(n string) bool { return n == "r1" || n == "r3" }, w.sets[routes]),
	}
	d[typeEndpoint] = bodies(func(n string) bool { _, ok := d[typeCluster][n]; return ok }, w.sets[endpoints])
	return d
}

// randomize replaces some of the sets by ones of random content.
func randomize(w *world, rnd *rand.Rand) {
	pick := func(prefix string, from, to int) content {
		c := content{}
		for i := from; i < to; i++ {
			if rnd.IntN(3) > 0 {
				c[fmt.Sprint(prefix, i)] = 1 + rnd.IntN(3)
			}
		}
		return c
	}
	if rnd.IntN(2) == 0 {
		w.sets[upstreams] = set(upstreams.Part, pick("u", 0, 30))
	}
	if rnd.IntN(2) == 0 {
		w.sets[endpoints] = set(endpoints.Part, pick("u", 0, 40))
	}
	if rnd.IntN(3) == 0 {
		w.sets[listeners] = set(listeners.Part, pick("l", 0, 4))
	}
	if rnd.IntN(3) == 0 {
		w.sets[routes] = set(routes.Part, pick("r", 0, 5))
	}
	for _, ports := range []string{"1", "2"} {
		if rnd.IntN(3) == 0 || w.sets[inbound(ports)] == nil {
			w.sets[inbound(ports)] = set(inbound(ports).Part, pick("u", 30, 35)) // the names of both classes overlap in time
		}
	}
	for _, proxy := range []string{"delta", "world"} {
		w.ports[proxy] = fmt.Sprint(1 + rnd.IntN(2))
	}
}

func TestBothProtocolsConverge(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 1))
			m := newMesh(t, Options{})
			m.publish(func(w *world) {
				w.sets[upstreams], w.sets[endpoints] = set(upstreams.Part, nil), set(endpoints.Part, nil)
				w.sets[listeners], w.sets[routes] = set(listeners.Part, nil), set(routes.Part, nil)
				randomize(w, rnd)
			})
			delta, sotw := newHolder(), newHolder()
			for round := range 12 {
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() { _ = delta.delta(ctx, m) })
				wg.Go(func() { _ = sotw.world(ctx, m, t) })
				for range 1 + rnd.IntN(8) {
					m.publish(func(w *world) { randomize(w, rnd) })
				}
				if round%3 > 0 {
					// Streams that break at any moment must not matter.
					cancel()
				} else {
					for name, h := range map[string]*holder{"delta": delta, "world": sotw} {
						h.await(t, fmt.Sprintf("round %d: %s", round, name), m.world.due(name))
					}
					cancel()
				}
				wg.Wait()
			}
		})
	}
}

func (h *holder) await(t *testing.T, what string, want map[string]map[string]string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			h.mu.Lock()
			defer h.mu.Unlock()
			t.Logf("-want +got:\n%s", cmp.Diff(want, h.has))
		}
	}()
	eventually(t, what+" holds what it should", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return maps.EqualFunc(h.has, want, maps.Equal[map[string]string, map[string]string])
	})
}
