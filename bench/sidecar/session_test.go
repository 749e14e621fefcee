package sidecar

import (
	"slices"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func upstream(t *testing.T, name, service string) *discoveryv3.Resource {
	t.Helper()
	return &discoveryv3.Resource{Name: name, Version: "v-" + name, Resource: packed(t, &clusterv3.Cluster{
		Name: name, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{EdsConfig: &corev3.ConfigSource{}, ServiceName: service},
	})}
}

func listener(t *testing.T, name, routes string) *discoveryv3.Resource {
	t.Helper()
	manager := &hcmv3.HttpConnectionManager{RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: routes}}}
	return &discoveryv3.Resource{Name: name, Version: "v-" + name, Resource: packed(t, &listenerv3.Listener{
		Name: name,
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, manager)},
		}}}},
	})}
}

// takeDelta gives a session a response as it comes over the wire.
func takeDelta(t *testing.T, s *session, m *discoveryv3.DeltaDiscoveryResponse) (requests []request, repeated int) {
	t.Helper()
	message, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	r, err := readDelta(message)
	if err != nil {
		t.Fatal(err)
	}
	typ, known := typeOf(r.typeURL)
	if !known {
		t.Fatalf("unknown type %s", r.typeURL)
	}
	requests, repeated, err = s.take(typ, &r)
	if err != nil {
		t.Fatal(err)
	}
	return requests, repeated
}

func wantRequest(t *testing.T, q request, typ Type, nonce string, add, drop []string) {
	t.Helper()
	slices.Sort(q.add)
	slices.Sort(q.drop)
	if q.typ != typ || q.nonce != nonce || !slices.Equal(q.add, add) || !slices.Equal(q.drop, drop) {
		t.Errorf("asks %s nonce %q +%v -%v, want %s nonce %q +%v -%v", q.typ, q.nonce, q.add, q.drop, typ, nonce, add, drop)
	}
}

func TestSidecarAsksInTheOrderOfEnvoy(t *testing.T) {
	t.Parallel()
	s := newSession(Options{})
	first := s.begin()
	if len(first) != 1 {
		t.Fatalf("begins with %d requests, want one", len(first))
	}
	wantRequest(t, first[0], Upstreams, "", nil, nil)

	got, _ := takeDelta(t, s, &discoveryv3.DeltaDiscoveryResponse{
		TypeUrl: urls[Upstreams], Nonce: "1", Resources: []*discoveryv3.Resource{upstream(t, "a", ""), upstream(t, "b", "other")},
	})
	if len(got) != 2 {
		t.Fatalf("asks %d times, want an answer and a question", len(got))
	}
	wantRequest(t, got[0], Upstreams, "1", nil, nil)
	wantRequest(t, got[1], Endpoints, "", []string{"a", "other"}, nil)

	got, _ = takeDelta(t, s, &discoveryv3.DeltaDiscoveryResponse{
		TypeUrl: urls[Endpoints], Nonce: "2", Resources: []*discoveryv3.Resource{{Name: "a", Version: "1"}}, RemovedResources: []string{"other"},
	})
	if len(got) != 2 {
		t.Fatalf("asks %d times, want listeners next", len(got))
	}
	wantRequest(t, got[1], Listeners, "", nil, nil)

	got, _ = takeDelta(t, s, &discoveryv3.DeltaDiscoveryResponse{
		TypeUrl: urls[Listeners], Nonce: "3", Resources: []*discoveryv3.Resource{listener(t, "l", "80")},
	})
	wantRequest(t, got[1], Routes, "", []string{"80"}, nil)
	if s.complete() {
		t.Error("complete without the route")
	}
	takeDelta(t, s, &discoveryv3.DeltaDiscoveryResponse{TypeUrl: urls[Routes], Nonce: "4", Resources: []*discoveryv3.Resource{{Name: "80"}, {Name: "90"}}})
	if !s.complete() {
		t.Error("not complete with everything")
	}
	if _, held := s.subs[Routes].held["90"]; held {
		t.Error("holds a route table that it did not ask for")
	}

	got, _ = takeDelta(t, s, &discoveryv3.DeltaDiscoveryResponse{TypeUrl: urls[Upstreams], Nonce: "5", RemovedResources: []string{"b"}})
	wantRequest(t, got[1], Endpoints, "", nil, []string{"other"})
}

func TestReturningSidecarAsksForAllTypesAndCountsRepeats(t *testing.T) {
	t.Parallel()
	s := newSession(Options{})
	s.begin()
	whole := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: urls[Upstreams], Nonce: "1", Resources: []*discoveryv3.Resource{upstream(t, "a", "")}}
	takeDelta(t, s, whole)
	takeDelta(t, s, &discoveryv3.DeltaDiscoveryResponse{TypeUrl: urls[Endpoints], Resources: []*discoveryv3.Resource{{Name: "a", Version: "1"}}})

	again := s.begin()
	if len(again) != 3 {
		t.Fatalf("returns with %d requests, want upstreams, endpoints and listeners", len(again))
	}
	wantRequest(t, again[1], Endpoints, "", []string{"a"}, nil)
	if s.complete() {
		t.Error("complete before any answer")
	}
	if _, repeated := takeDelta(t, s, whole); repeated != 1 {
		t.Errorf("%d resources repeated, want 1", repeated)
	}
	takeDelta(t, s, &discoveryv3.DeltaDiscoveryResponse{TypeUrl: urls[Listeners]})
	if !s.complete() {
		t.Error("not complete, though the endpoints are held from before")
	}
}

func TestWorldResponsesReplaceWhatWasThere(t *testing.T) {
	t.Parallel()
	s := newSession(Options{WorldState: true, Keep: true})
	s.begin()
	take := func(nonce string, names ...string) []request {
		t.Helper()
		m := &discoveryv3.DiscoveryResponse{TypeUrl: urls[Upstreams], Nonce: nonce, VersionInfo: nonce}
		for _, n := range names {
			m.Resources = append(m.Resources, upstream(t, n, "").GetResource())
		}
		message, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		r, err := readWorld(message)
		if err != nil {
			t.Fatal(err)
		}
		requests, _, err := s.take(Upstreams, &r)
		if err != nil {
			t.Fatal(err)
		}
		return requests
	}
	take("1", "a", "b")
	got := take("2", "b", "c")
	wantRequest(t, got[1], Endpoints, "", []string{"c"}, []string{"a"})
	if _, there := s.subs[Upstreams].bodies["a"]; there || len(s.subs[Upstreams].bodies) != 2 {
		t.Errorf("holds %d upstreams, want b and c", len(s.subs[Upstreams].bodies))
	}
}

func TestChangeIsDoneWhenEverySidecarHasAllSigns(t *testing.T) {
	t.Parallel()
	c := NewChange(Sign{Type: Endpoints, Name: "a", Text: "10.0.0.1"}, Sign{Type: Upstreams, Name: "old", Gone: true})
	a := newAwaited([]*Change{c}, 2)
	endpoints := &response{resources: []resource{{name: []byte("a"), body: []byte("10.0.0.1:80")}}}
	gone := &response{removed: [][]byte{[]byte("old")}}
	a.look(0, Endpoints, endpoints, time.Now()) // too early: not begun
	c.Begin()
	begin := *c.begun.Load()
	a.look(0, Endpoints, endpoints, begin.Add(1))
	a.look(0, Upstreams, gone, begin.Add(5))
	a.look(1, Endpoints, endpoints, begin.Add(7))
	if took, missing := c.Latencies(); missing != 1 || len(took) != 1 || took[0] != 5 {
		t.Errorf("took %v, %d missing; want 5 ns for one and the other missing", took, missing)
	}
	a.look(1, Upstreams, gone, begin.Add(9))
	select {
	case <-c.Done():
	default:
		t.Error("not done")
	}
}
