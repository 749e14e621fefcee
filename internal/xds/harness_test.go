package xds

import (
	"context"
	"fmt"
	"maps"
	"net"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/translate"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// world is a snapshot's source for the fake generator: the sets by class, ready made.
type world struct {
	sets  map[view.Class]*translate.Set
	ports map[string]string // by proxy name: what its inbound class is made of
}

var (
	upstreams = view.Class{Part: view.Upstreams}
	endpoints = view.Class{Part: view.Endpoints}
	listeners = view.Class{Part: view.Listeners}
	routes    = view.Class{Part: view.Routes}
)

func inbound(ports string) view.Class {
	return view.Class{Part: view.InboundUpstreams, Workload: ports}
}

// fakeGenerator serves worlds and counts what it builds.
type fakeGenerator struct {
	mu     sync.Mutex // guards builds
	builds map[view.Class]int
	onMake func(view.Class) // called before a set is made; may be nil
}

func (g *fakeGenerator) Classes(s *model.Snapshot, p view.Proxy, typeURL string) []view.Class {
	w := s.Source.(*world)
	switch typeURL {
	case typeCluster:
		if ports, ok := w.ports[p.Name]; ok {
			return []view.Class{upstreams, inbound(ports)}
		}
		return []view.Class{upstreams}
	case typeEndpoint:
		return []view.Class{endpoints}
	case typeListener:
		return []view.Class{listeners}
	case typeRoute:
		return []view.Class{routes}
	default:
		return nil
	}
}

func (g *fakeGenerator) Build(s *model.Snapshot, c view.Class, _ *translate.Set) *translate.Set {
	g.mu.Lock()
	g.builds[c]++
	g.mu.Unlock()
	if g.onMake != nil {
		g.onMake(c)
	}
	return s.Source.(*world).sets[c]
}

// message makes a resource of a part whose content is v.
func message(part view.Part, name string, v int) proto.Message {
	text := fmt.Sprint(v)
	switch part {
	case view.Endpoints:
		return &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{Priority: uint32(v)}, {}}}
	case view.Listeners:
		return &listenerv3.Listener{Name: name, StatPrefix: text}
	case view.Routes:
		return &routev3.RouteConfiguration{Name: name, ResponseHeadersToRemove: []string{text}}
	default:
		return &clusterv3.Cluster{Name: name, AltStatName: text}
	}
}

// set makes one of a single shard.
func set(part view.Part, content map[string]int) *translate.Set {
	messages := map[string]proto.Message{}
	for name, v := range content {
		messages[name] = message(part, name, v)
	}
	return translate.NewSet(messages)
}

// sharded makes a set of n resources in shards of fifty.
func sharded(part view.Part, n int) *translate.Set {
	s := &translate.Set{Shards: map[string]*translate.Shard{}}
	for i := 0; i < n; i += 50 {
		content := map[string]int{}
		for j := i; j < min(i+50, n); j++ {
			content[fmt.Sprintf("outbound|80||service-%04d.namespace-%02d.svc.cluster.local", j, i/50)] = 1
		}
		s.Shards[fmt.Sprintf("namespace-%02d", i/50)] = set(part, content).Shards[""]
	}
	return s
}

// edit gives a set in which one resource differs, and the rest is shared.
func edit(s *translate.Set, part view.Part, shard, name string, v int) *translate.Set {
	fresh := set(part, map[string]int{name: v}).Lookup(name)
	next := &translate.Set{Shards: maps.Clone(s.Shards)}
	next.Shards[shard] = &translate.Shard{Resources: maps.Clone(s.Shards[shard].Resources)}
	next.Shards[shard].Resources[name] = fresh
	return next
}

// mesh is a server with its fake generator on an in-memory listener.
type mesh struct {
	*Server
	t        testing.TB
	gen      *fakeGenerator
	lis      *bufconn.Listener
	conn     *grpc.ClientConn // all clients share it
	world    *world
	revision uint64
}

func newMesh(t testing.TB, o Options) *mesh {
	t.Helper()
	g := &fakeGenerator{builds: map[view.Class]int{}}
	o.Generator = g
	s := New(o)
	lis := bufconn.Listen(1 << 20)
	server := grpc.NewServer(s.ServerOptions()...)
	s.Register(server)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(lis)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	m := &mesh{Server: s, t: t, gen: g, lis: lis, world: &world{sets: map[view.Class]*translate.Set{}, ports: map[string]string{}}}
	m.conn = m.dial()
	return m
}

// dial makes another connection to the server.
func (m *mesh) dial() *grpc.ClientConn {
	m.t.Helper()
	conn, err := grpc.NewClient("passthrough:///mem",
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) { return m.lis.Dial() }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30)))
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// publish changes the world and publishes it.
func (m *mesh) publish(change func(*world)) {
	next := &world{sets: maps.Clone(m.world.sets), ports: maps.Clone(m.world.ports)}
	change(next)
	m.world = next
	m.revision++
	m.Publish(&model.Snapshot{Revision: m.revision, Source: next})
}

func (m *mesh) put(c view.Class, content map[string]int) {
	m.publish(func(w *world) { w.sets[c] = set(c.Part, content) })
}

func (m *mesh) builds(c view.Class) int {
	m.gen.mu.Lock()
	defer m.gen.mu.Unlock()
	return m.gen.builds[c]
}

func node(name, namespace string) *corev3.Node {
	meta, err := structpb.NewStruct(map[string]any{
		"NAMESPACE": namespace, "CLUSTER_ID": "cluster1", "NETWORK": "network1", "SERVICE_ACCOUNT": "default",
		"ISTIO_VERSION": "1.31.0", "LABELS": map[string]any{"app": name}, "INTERCEPTION_MODE": "REDIRECT",
	})
	if err != nil {
		panic(err)
	}
	return &corev3.Node{Id: "sidecar~10.0.0.1~" + name + "." + namespace + "~" + namespace + ".svc.cluster.local", Metadata: meta}
}

// patience is how long a test waits for the other side before it fails.
const patience = 20 * time.Second

// deltaClient is a proxy of the incremental protocol, driven by hand.
type deltaClient struct {
	t      testing.TB
	m      *mesh
	stream grpc.BidiStreamingClient[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse]
	node   *corev3.Node // of the next request; nil after the first
	cancel context.CancelFunc
	probes int
}

func (m *mesh) delta(name string) *deltaClient {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	m.t.Cleanup(cancel)
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(m.conn).DeltaAggregatedResources(ctx)
	if err != nil {
		m.t.Fatal(err)
	}
	return &deltaClient{t: m.t, m: m, stream: stream, node: node(name, "default"), cancel: cancel}
}

func (c *deltaClient) send(r *discoveryv3.DeltaDiscoveryRequest) {
	c.t.Helper()
	r.Node, c.node = c.node, nil
	if err := c.stream.Send(r); err != nil {
		c.t.Fatal(err)
	}
}

func (c *deltaClient) subscribe(typeURL string, names ...string) {
	c.t.Helper()
	c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesSubscribe: names})
}

func (c *deltaClient) ack(r *discoveryv3.DeltaDiscoveryResponse) {
	c.t.Helper()
	c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()})
}

func (c *deltaClient) nack(r *discoveryv3.DeltaDiscoveryResponse, why string) {
	c.t.Helper()
	c.send(&discoveryv3.DeltaDiscoveryRequest{
		TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce(),
		ErrorDetail: &rpcstatus.Status{Code: int32(codes.Internal), Message: why},
	})
}

func (c *deltaClient) recv() *discoveryv3.DeltaDiscoveryResponse {
	c.t.Helper()
	r, err := c.stream.Recv()
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// want receives one response of a type with just these resources and removals, and does not acknowledge it.
func (c *deltaClient) want(typeURL string, sent, removed []string) *discoveryv3.DeltaDiscoveryResponse {
	c.t.Helper()
	r := c.recv()
	var got []string
	for _, res := range r.GetResources() {
		got = append(got, res.GetName())
	}
	if r.GetTypeUrl() != typeURL || fmt.Sprint(got) != fmt.Sprint(sent) || fmt.Sprint(r.GetRemovedResources()) != fmt.Sprint(removed) {
		c.t.Fatalf("got %s with %v, removed %v; want %s with %v, removed %v",
			short(r.GetTypeUrl()), got, r.GetRemovedResources(), short(typeURL), sent, removed)
	}
	return r
}

// quiet checks that the server has nothing to say about the newest snapshot: a question about a route is the next
// thing that it answers.
func (c *deltaClient) quiet() {
	c.t.Helper()
	for {
		c.probes++
		name := fmt.Sprintf("probe-%d", c.probes)
		c.subscribe(typeRoute, name)
		r := c.want(typeRoute, []string{name}, nil)
		c.ack(r)
		if r.GetSystemVersionInfo() == fmt.Sprint(c.m.revision) {
			return
		}
	}
}

// worldClient is a proxy of the state-of-the-world protocol, driven by hand.
type worldClient struct {
	t      testing.TB
	stream grpc.BidiStreamingClient[discoveryv3.DiscoveryRequest, discoveryv3.DiscoveryResponse]
	node   *corev3.Node
	cancel context.CancelFunc
}

func (m *mesh) sotw(name string) *worldClient {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	m.t.Cleanup(cancel)
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(m.conn).StreamAggregatedResources(ctx)
	if err != nil {
		m.t.Fatal(err)
	}
	return &worldClient{t: m.t, stream: stream, node: node(name, "default"), cancel: cancel}
}

func (c *worldClient) send(r *discoveryv3.DiscoveryRequest) {
	c.t.Helper()
	r.Node, c.node = c.node, nil
	if err := c.stream.Send(r); err != nil {
		c.t.Fatal(err)
	}
}

func (c *worldClient) subscribe(typeURL string, names ...string) {
	c.t.Helper()
	c.send(&discoveryv3.DiscoveryRequest{TypeUrl: typeURL, ResourceNames: names})
}

func (c *worldClient) ack(r *discoveryv3.DiscoveryResponse, names ...string) {
	c.t.Helper()
	c.send(&discoveryv3.DiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce(), VersionInfo: r.GetVersionInfo(), ResourceNames: names})
}

// want receives one response of a type with just these resources.
func (c *worldClient) want(typeURL string, sent ...string) *discoveryv3.DiscoveryResponse {
	c.t.Helper()
	r, err := c.stream.Recv()
	if err != nil {
		c.t.Fatal(err)
	}
	var got []string
	for _, res := range r.GetResources() {
		got = append(got, resourceName(c.t, res.GetTypeUrl(), res.GetValue()))
	}
	if r.GetTypeUrl() != typeURL || fmt.Sprint(got) != fmt.Sprint(sent) {
		c.t.Fatalf("got %s with %v; want %s with %v", short(r.GetTypeUrl()), got, short(typeURL), sent)
	}
	return r
}

func resourceName(t testing.TB, typeURL string, body []byte) string {
	t.Helper()
	var m proto.Message
	switch typeURL {
	case typeCluster:
		m = &clusterv3.Cluster{}
	case typeEndpoint:
		m = &endpointv3.ClusterLoadAssignment{}
	case typeListener:
		m = &listenerv3.Listener{}
	case typeRoute:
		m = &routev3.RouteConfiguration{}
	default:
		t.Fatalf("unexpected type %s", typeURL)
	}
	if err := proto.Unmarshal(body, m); err != nil {
		t.Fatal(err)
	}
	if cla, ok := m.(*endpointv3.ClusterLoadAssignment); ok {
		return cla.GetClusterName()
	}
	return m.(interface{ GetName() string }).GetName()
}

// eventually waits for something that another goroutine is about to do, and fails when it does not.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}
