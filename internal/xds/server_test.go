package xds

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/isthmus-mesh/isthmus/internal/view"
)

func (c *deltaClient) wantEnd(code codes.Code) {
	c.t.Helper()
	r, err := c.stream.Recv()
	if status.Code(err) != code {
		c.t.Fatalf("got %v, %v; want the stream to end with %s", r, err, code)
	}
}

func TestStreamsWaitForTheFirstSnapshot(t *testing.T) {
	t.Parallel()
	m := newMesh(t, Options{})
	c := m.delta("p")
	c.subscribe(typeCluster)
	m.put(upstreams, content{"a": 1})
	c.want(typeCluster, []string{"a"}, nil)
}

func TestStreamsAreUnavailableWithoutSnapshot(t *testing.T) {
	t.Parallel()
	c := newMesh(t, Options{FirstSnapshotWait: time.Millisecond}).delta("p")
	c.subscribe(typeCluster)
	c.wantEnd(codes.Unavailable)
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	caller := func(namespace, account string, err error) Options {
		return Options{Authenticate: func(context.Context) (string, string, error) { return namespace, account, err }}
	}
	cases := []struct {
		name string
		opts Options
		want codes.Code
	}{
		{"same", caller("default", "default", nil), codes.OK},
		{"other namespace", caller("other", "default", nil), codes.PermissionDenied},
		{"other account", caller("default", "admin", nil), codes.PermissionDenied},
		{"system namespace is no exception", caller("istio-system", "default", nil), codes.PermissionDenied},
		{"no credential", caller("", "", errors.New("no token")), codes.Unauthenticated},
		{"credential of nobody", caller("", "", nil), codes.Unauthenticated},
		{"cannot tell now", caller("", "", status.Error(codes.Unavailable, "API server away")), codes.Unavailable},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := newMesh(t, tc.opts)
			m.put(upstreams, content{"a": 1})
			c := m.delta("p")
			if tc.want == codes.OK {
				c.subscribe(typeCluster)
				c.want(typeCluster, []string{"a"}, nil)
				return
			}
			// The server may end the stream before it reads.
			_ = c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: c.node, TypeUrl: typeCluster})
			c.wantEnd(tc.want)
		})
	}
}

func TestBadFirstRequests(t *testing.T) {
	t.Parallel()
	m := started(t)
	c := m.delta("p")
	c.node = nil
	c.subscribe(typeCluster)
	c.wantEnd(codes.InvalidArgument)

	c = m.delta("p")
	c.node.Id = "sidecar~x"
	c.subscribe(typeCluster)
	c.wantEnd(codes.InvalidArgument)

	c = m.delta("p")
	c.subscribe("")
	c.wantEnd(codes.InvalidArgument)

	c = m.delta("p")
	for i := range maxTypes + 1 {
		_ = c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: c.node, TypeUrl: fmt.Sprint("t", i)})
	}
	c.wantEnd(codes.ResourceExhausted)
}

func TestHealthInformationIsIgnored(t *testing.T) {
	t.Parallel()
	c := started(t).delta("p")
	if err := c.stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeHealth}); err != nil {
		t.Fatal(err)
	}
	c.subscribe(typeCluster)
	c.want(typeCluster, []string{"a", "b"}, nil)
}

func TestPanicEndsItsStreamOnly(t *testing.T) {
	t.Parallel()
	m := newMesh(t, Options{})
	bad := routes
	m.gen.onMake = func(c view.Class) {
		if c == bad {
			panic("a bug")
		}
	}
	m.put(upstreams, content{"a": 1})
	good := m.delta("good")
	good.subscribe(typeCluster)
	good.ack(good.want(typeCluster, []string{"a"}, nil))
	for range runtime.GOMAXPROCS(0) + 1 { // more than there are slots to build in
		c := m.delta("bad")
		c.subscribe(typeRoute, "80")
		c.wantEnd(codes.Internal)
	}
	m.put(upstreams, content{"a": 2})
	good.want(typeCluster, []string{"a"}, nil)
}

func TestSlowProxyHoldsUpNobody(t *testing.T) {
	t.Parallel()
	m := newMesh(t, Options{})
	big := strings.Repeat("x", 200<<10)
	m.publish(func(w *world) {
		w.sets[listeners] = set(listeners.Part, content{big: 1})
		w.sets[upstreams] = set(upstreams.Part, content{big: 1})
	})
	// The slow one never reads: its window is full with the first response, and the second one waits.
	apart := *m
	apart.conn = m.dial() // streams of one connection share its window
	slow := apart.delta("slow")
	slow.subscribe(typeCluster)
	slow.subscribe(typeListener)
	fast := m.delta("fast")
	fast.subscribe(typeListener)
	for i := range 20 {
		fast.ack(fast.want(typeListener, []string{big}, nil))
		m.put(listeners, content{big: i + 2})
	}
}

func TestStreamsLeaveNothingBehind(t *testing.T) {
	m := started(t) // not parallel: it counts goroutines
	warm := m.delta("warm")
	warm.subscribe(typeCluster)
	warm.want(typeCluster, []string{"a", "b"}, nil)
	before := runtime.NumGoroutine()
	var clients []*deltaClient
	for i := range 50 {
		c := m.delta(fmt.Sprintf("p%d", i))
		c.subscribe(typeCluster)
		c.want(typeCluster, []string{"a", "b"}, nil)
		clients = append(clients, c)
	}
	if got := m.Stats().Streams; got != 51 {
		t.Fatalf("%d streams, want 51", got)
	}
	for _, c := range clients {
		c.cancel()
	}
	eventually(t, "only one stream is left", func() bool { return m.Stats().Streams == 1 })
	eventually(t, "the goroutines are gone", func() bool { return runtime.NumGoroutine() <= before })
	warm.cancel()
	eventually(t, "no stream is left", func() bool { return m.Stats().Streams == 0 })
	m.store.mu.Lock()
	for class, sh := range m.store.classes {
		if sh.users != 0 {
			t.Errorf("class %v has %d users, want none", class, sh.users)
		}
	}
	m.store.mu.Unlock()
	m.store.sweep(time.Now().Add(time.Hour))
	if got := len(m.store.classes); got != 0 {
		t.Errorf("%d classes are kept, want none", got)
	}
}

func TestManyStreamsBuildOnce(t *testing.T) {
	t.Parallel()
	m := newMesh(t, Options{})
	var clients []*deltaClient
	for i := range 100 { // all of them wait for the first snapshot
		c := m.delta(fmt.Sprintf("p%d", i))
		c.subscribe(typeCluster)
		clients = append(clients, c)
	}
	m.put(upstreams, content{"a": 1})
	for _, c := range clients {
		c.want(typeCluster, []string{"a"}, nil)
	}
	if got := m.builds(upstreams); got != 1 {
		t.Errorf("built %d times, want once", got)
	}
}

// rawCodec receives messages undecoded.
type rawCodec struct{ encoding.CodecV2 }

func (c rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

func TestStreamsOfAClassGetTheSameBytes(t *testing.T) {
	t.Parallel()
	m := newMesh(t, Options{})
	all := sharded(upstreams.Part, 120)
	m.publish(func(w *world) { w.sets[upstreams] = all })
	var want []byte
	for _, r := range all.All() {
		want = append(want, r.Delta...)
	}
	for _, name := range []string{"p", "q"} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		stream, err := m.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
			discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResources_FullMethodName,
			grpc.ForceCodecV2(rawCodec{encoding.GetCodecV2("proto")}))
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.SendMsg(&discoveryv3.DeltaDiscoveryRequest{Node: node(name, "default"), TypeUrl: typeCluster}); err != nil {
			t.Fatal(err)
		}
		var got []byte
		if err := stream.RecvMsg(&got); err != nil {
			t.Fatal(err)
		}
		if head, rest := got[:len(want)], got[len(want):]; string(head) != string(want) || len(rest) > 128 {
			t.Errorf("%s: the response is not the set's bytes and a short tail (%d bytes)", name, len(rest))
		}
		if n, _, _ := protowire.ConsumeTag(got[len(want):]); n != fieldVersion {
			t.Errorf("%s: field %d follows the resources, want the version", name, n)
		}
	}
}
