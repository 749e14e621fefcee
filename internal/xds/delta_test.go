package xds

import (
	"fmt"
	"slices"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/isthmus-mesh/isthmus/internal/view"
)

type content = map[string]int

func started(t *testing.T) *mesh {
	m := newMesh(t, Options{})
	m.publish(func(w *world) {
		w.sets[upstreams] = set(upstreams.Part, content{"a": 1, "b": 1})
		w.sets[endpoints] = set(endpoints.Part, content{"a": 1, "b": 1})
		w.sets[listeners] = set(listeners.Part, content{"l": 1})
		w.sets[routes] = set(routes.Part, content{"80": 1})
	})
	return m
}

func TestDeltaStartsAsEnvoyAsks(t *testing.T) {
	t.Parallel()
	c := started(t).delta("p")
	c.subscribe(typeCluster)
	c.ack(c.want(typeCluster, []string{"a", "b"}, nil))
	c.subscribe(typeEndpoint, "a", "b", "gone")
	c.ack(c.want(typeEndpoint, []string{"a", "b"}, []string{"gone"}))
	c.subscribe(typeListener)
	c.ack(c.want(typeListener, []string{"l"}, nil))
	c.subscribe(typeRoute, "80")
	c.ack(c.want(typeRoute, []string{"80"}, nil))
	c.quiet()
}

func TestRoutesThatWentBeforeTheyWereAskedForAreAnsweredEmpty(t *testing.T) {
	t.Parallel()
	m := started(t)
	c := m.delta("p")
	c.subscribe(typeRoute, "80", "gone")
	r := c.want(typeRoute, []string{"80", "gone"}, nil)
	c.ack(r)
	for _, resource := range r.GetResources() {
		none := &routev3.RouteConfiguration{}
		if resource.GetName() != "gone" {
			continue
		}
		if err := resource.GetResource().UnmarshalTo(none); err != nil || none.GetName() != "gone" || len(none.GetVirtualHosts()) > 0 {
			t.Errorf("got %v, error %v", none, err)
		}
	}
	m.put(routes, content{"80": 1, "gone": 1})
	c.ack(c.want(typeRoute, []string{"gone"}, nil))
	c.quiet()
}

func TestDeltaAnswersTypesThatAreNotServed(t *testing.T) {
	t.Parallel()
	c := started(t).delta("p")
	const secrets = typePrefix + "envoy.extensions.transport_sockets.tls.v3.Secret"
	c.subscribe(secrets, "x")
	c.ack(c.want(secrets, nil, []string{"x"}))
	c.subscribe(typePCDS)
	c.ack(c.want(typePCDS, nil, nil))
}

func TestDeltaSendsWhatChanged(t *testing.T) {
	t.Parallel()
	m := started(t)
	c := m.delta("p")
	c.subscribe(typeEndpoint, "a", "b")
	c.ack(c.want(typeEndpoint, []string{"a", "b"}, nil))
	m.put(endpoints, content{"a": 2, "b": 1, "c": 1})
	c.ack(c.want(typeEndpoint, []string{"a"}, nil))
	m.put(endpoints, content{"a": 2, "c": 1})
	c.ack(c.want(typeEndpoint, nil, []string{"b"}))
	m.put(endpoints, content{"a": 2, "b": 3, "c": 1})
	c.ack(c.want(typeEndpoint, []string{"b"}, nil))
	m.put(endpoints, content{"a": 2, "b": 3, "c": 1}) // equal content, other pointers
	c.quiet()
}

func TestDeltaMergesWhileUnacknowledged(t *testing.T) {
	t.Parallel()
	m := started(t)
	c := m.delta("p")
	c.subscribe(typeEndpoint, "a", "b")
	first := c.want(typeEndpoint, []string{"a", "b"}, nil)
	m.put(endpoints, content{"a": 2, "b": 1})
	m.put(endpoints, content{"a": 3, "b": 1})
	m.put(endpoints, content{"a": 4, "b": 2})
	c.quiet()
	c.ack(first)
	r := c.want(typeEndpoint, []string{"a", "b"}, nil)
	want := m.world.sets[endpoints].Lookup("a").Version
	if got := r.GetResources()[0].GetVersion(); got != want {
		t.Errorf("version of a is %s, want the newest, %s", got, want)
	}
	c.ack(r)
	c.quiet()
}

func TestDeltaAnswersNewNamesWhileUnacknowledged(t *testing.T) {
	t.Parallel()
	m := started(t)
	c := m.delta("p")
	c.subscribe(typeEndpoint, "a")
	first := c.want(typeEndpoint, []string{"a"}, nil)
	c.subscribe(typeEndpoint, "b")
	second := c.want(typeEndpoint, []string{"b"}, nil)
	c.ack(first) // of an older push: says nothing
	m.put(endpoints, content{"a": 2, "b": 1})
	c.quiet()
	c.ack(second)
	c.ack(c.want(typeEndpoint, []string{"a"}, nil))
}

func TestDeltaSubscriptions(t *testing.T) {
	t.Parallel()
	m := started(t)
	c := m.delta("p")
	c.subscribe(typeEndpoint, "a", "b")
	c.ack(c.want(typeEndpoint, []string{"a", "b"}, nil))
	c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeEndpoint, ResourceNamesUnsubscribe: []string{"a"}})
	c.quiet()
	m.put(endpoints, content{"a": 2, "b": 1})
	c.quiet()
	c.subscribe(typeEndpoint, "a")
	c.ack(c.want(typeEndpoint, []string{"a"}, nil))

	c.subscribe(typeCluster, "a")
	c.ack(c.want(typeCluster, []string{"a"}, nil))
	c.ack(c.want(typeEndpoint, []string{"a"}, nil)) // endpoints follow their upstream
	c.subscribe(typeCluster, "*", "z")
	c.ack(c.want(typeCluster, []string{"a", "b"}, []string{"z"}))
	c.ack(c.want(typeEndpoint, []string{"a", "b"}, nil))
	c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeCluster, ResourceNamesUnsubscribe: []string{"*"}})
	c.quiet()
	m.put(upstreams, content{"a": 2, "b": 2})
	c.ack(c.want(typeCluster, []string{"a"}, nil)) // asked for by name
}

func TestDeltaEndpointsFollowTheirUpstream(t *testing.T) {
	t.Parallel()
	m := started(t)
	c := m.delta("p")
	c.subscribe(typeCluster)
	c.ack(c.want(typeCluster, []string{"a", "b"}, nil))
	c.subscribe(typeEndpoint, "a", "b")
	c.ack(c.want(typeEndpoint, []string{"a", "b"}, nil))
	m.put(upstreams, content{"a": 2, "b": 1})
	c.ack(c.want(typeCluster, []string{"a"}, nil))
	c.ack(c.want(typeEndpoint, []string{"a"}, nil))
	c.quiet()
}

func TestDeltaReconnectSendsNothingThatIsKnown(t *testing.T) {
	t.Parallel()
	m := started(t)
	known := map[string]map[string]string{}
	c := m.delta("p")
	for _, sub := range []struct {
		typeURL string
		names   []string
	}{{typeCluster, nil}, {typeEndpoint, []string{"a", "b"}}} {
		c.subscribe(sub.typeURL, sub.names...)
		r := c.recv()
		c.ack(r)
		known[sub.typeURL] = map[string]string{}
		for _, res := range r.GetResources() {
			known[sub.typeURL][res.GetName()] = res.GetVersion()
		}
	}
	c.cancel()

	c = m.delta("p")
	c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeCluster, InitialResourceVersions: known[typeCluster]})
	c.ack(c.want(typeCluster, nil, nil))
	c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeEndpoint, ResourceNamesSubscribe: []string{"a", "b"}, InitialResourceVersions: known[typeEndpoint]})
	c.quiet()
	m.put(endpoints, content{"a": 1, "b": 2})
	c.ack(c.want(typeEndpoint, []string{"b"}, nil))
	c.cancel()

	// While the stream was away, an upstream changed and one went.
	m.publish(func(w *world) {
		w.sets[upstreams] = set(upstreams.Part, content{"a": 2, "c": 1})
		w.sets[endpoints] = set(endpoints.Part, content{"a": 1, "c": 1})
	})
	c = m.delta("p")
	c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeCluster, InitialResourceVersions: known[typeCluster]})
	c.ack(c.want(typeCluster, []string{"a", "c"}, []string{"b"}))
	c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeEndpoint, ResourceNamesSubscribe: []string{"a", "b"}, InitialResourceVersions: known[typeEndpoint]})
	c.ack(c.want(typeEndpoint, []string{"a"}, []string{"b"})) // a did not change, but its upstream is warming
}

func TestDeltaRefusal(t *testing.T) {
	t.Parallel()
	m := started(t)
	c := m.delta("p")
	c.subscribe(typeCluster)
	c.ack(c.want(typeCluster, []string{"a", "b"}, nil))
	m.put(upstreams, content{"a": 2, "b": 1})
	c.nack(c.want(typeCluster, []string{"a"}, nil), "Error adding/updating cluster(s) a: no good")
	c.quiet() // the same is not sent again
	p := m.Proxies()[0]
	if got := p.Types[0]; got.State() != Refused || got.Error != "Error adding/updating cluster(s) a: no good" || !slices.Equal(got.Rejected, []string{"a"}) {
		t.Errorf("status of the refused type is %+v", got)
	}
	if got := m.Stats().Types["cds"].Rejects; got != 1 {
		t.Errorf("%d rejects counted, want 1", got)
	}
	m.put(upstreams, content{"a": 3, "b": 1})
	c.ack(c.want(typeCluster, []string{"a"}, nil))
	c.quiet()
	eventually(t, "the proxy is synced after a good version", func() bool { return m.Proxies()[0].Synced() })
}

func TestDeltaRefusalOfOneSparesTheOthers(t *testing.T) {
	t.Parallel()
	m := started(t)
	c := m.delta("p")
	c.subscribe(typeEndpoint, "a", "b")
	c.nack(c.want(typeEndpoint, []string{"a", "b"}, nil), "in 'b': malformed")
	c.nack(c.want(typeEndpoint, []string{"a"}, nil), "something else")
	c.quiet()
}

func TestDeltaFollowsItsClasses(t *testing.T) {
	t.Parallel()
	m := started(t)
	m.publish(func(w *world) {
		w.sets[inbound("80")] = set(view.InboundUpstreams, content{"inbound|80||": 1})
		w.sets[inbound("80,90")] = set(view.InboundUpstreams, content{"inbound|80||": 1, "inbound|90||": 1})
		w.ports["p"] = "80"
	})
	c := m.delta("p")
	c.subscribe(typeCluster)
	c.ack(c.want(typeCluster, []string{"a", "b", "inbound|80||"}, nil))
	m.publish(func(w *world) { w.ports["p"] = "80,90" })
	c.ack(c.want(typeCluster, []string{"inbound|90||"}, nil))
	m.publish(func(w *world) { delete(w.ports, "p") })
	c.ack(c.want(typeCluster, nil, []string{"inbound|80||", "inbound|90||"}))
	// A name moves from one class to another.
	m.publish(func(w *world) {
		w.ports["p"] = "80"
		w.sets[inbound("80")] = set(view.InboundUpstreams, content{"b": 1})
		w.sets[upstreams] = set(upstreams.Part, content{"a": 1})
	})
	c.ack(c.want(typeCluster, []string{"b"}, nil))
}

func TestDeltaRoutesWaitForUpstreams(t *testing.T) {
	t.Parallel()
	m := started(t)
	c := m.delta("p")
	c.subscribe(typeCluster)
	first := c.want(typeCluster, []string{"a", "b"}, nil)
	c.subscribe(typeRoute, "80")
	c.ack(c.want(typeRoute, []string{"80"}, nil))
	m.put(routes, content{"80": 2})
	c.ack(c.want(typeRoute, []string{"80"}, nil)) // no upstream changed: nothing to wait for
	m.publish(func(w *world) {
		w.sets[upstreams] = set(upstreams.Part, content{"a": 1, "b": 1, "c": 1})
		w.sets[routes] = set(routes.Part, content{"80": 3})
	})
	c.subscribe(typeListener)
	c.ack(c.want(typeListener, []string{"l"}, nil)) // what is asked for is answered
	c.ack(first)
	c.ack(c.want(typeCluster, []string{"c"}, nil))
	c.ack(c.want(typeRoute, []string{"80"}, nil))
}

func TestOneChangeIsBuiltOnceAndSentOnce(t *testing.T) {
	t.Parallel()
	m := newMesh(t, Options{})
	all := sharded(endpoints.Part, 200)
	m.publish(func(w *world) { w.sets[endpoints] = all })
	const streams = 20
	var clients []*deltaClient
	for i := range streams {
		c := m.delta(fmt.Sprintf("p%d", i))
		var names []string
		for _, r := range all.All() {
			names = append(names, r.Name)
		}
		c.subscribe(typeEndpoint, names...)
		clients = append(clients, c)
	}
	for _, c := range clients {
		r := c.recv()
		if len(r.GetResources()) != 200 {
			t.Fatalf("%d resources, want 200", len(r.GetResources()))
		}
		c.ack(r)
	}
	for _, c := range clients {
		c.quiet()
	}
	before := m.Stats().Types["eds"]
	one := all.All()[77].Name
	m.publish(func(w *world) { w.sets[endpoints] = edit(all, endpoints.Part, "namespace-01", one, 2) })
	for _, c := range clients {
		c.ack(c.want(typeEndpoint, []string{one}, nil))
	}
	for _, c := range clients {
		c.quiet()
	}
	after := m.Stats().Types["eds"]
	if got := m.builds(endpoints); got != 2 {
		t.Errorf("built %d times, want once a snapshot", got)
	}
	if got := after.ResourcesBuilt - before.ResourcesBuilt; got != 1 {
		t.Errorf("%d resources built, want 1", got)
	}
	if got := after.Resources - before.Resources; got != streams {
		t.Errorf("%d resources sent, want one a stream", got)
	}
}
