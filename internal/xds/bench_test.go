package xds

import (
	"context"
	"fmt"
	"sync"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/isthmus-mesh/isthmus/internal/translate"
)

// sink is a stream without a network: it plays a proxy that acknowledges at once.
type sink struct {
	ctx  context.Context
	sent chan *frames
}

func (s *sink) Context() context.Context { return s.ctx }

func (s *sink) SendMsg(m any) error {
	select {
	case s.sent <- m.(*frames):
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// lastNonce finds the nonce in the tail of a response.
func lastNonce(b *testing.B, parts mem.BufferSlice) string {
	var r discoveryv3.DeltaDiscoveryResponse
	if err := proto.Unmarshal(parts[len(parts)-1].ReadOnlyData(), &r); err != nil {
		b.Fatal(err)
	}
	return r.GetNonce()
}

// BenchmarkPush measures one changed endpoint until 100 streams have been sent it and have acknowledged.
func BenchmarkPush(b *testing.B) {
	m := newMesh(b, Options{})
	all := sharded(endpoints.Part, 1000)
	list := newBatch(all.All(), nil).names()
	versions := []*translate.Set{edit(all, endpoints.Part, "namespace-01", list[77], 2), edit(all, endpoints.Part, "namespace-01", list[77], 3)}
	m.publish(func(w *world) { w.sets[endpoints] = all })
	benchmarkPush(b, m, list, func(i int) {
		m.publish(func(w *world) { w.sets[endpoints] = versions[i%2] })
	})
}

// BenchmarkPushOfARealMesh is BenchmarkPush with the generator of the control plane.
func BenchmarkPushOfARealMesh(b *testing.B) {
	m := newMesh(b, Options{})
	m.store.gen, m.opts.Generator = translate.Generator{}, translate.Generator{}
	s := shop(1000)
	var list []string
	for i := range 1000 {
		list = append(list, "outbound|80||"+string(shopHost(i)))
	}
	m.Publish(s)
	benchmarkPush(b, m, list, func(i int) {
		s = replaced(s, 333, byte(i%200))
		m.Publish(s)
	})
}

func benchmarkPush(b *testing.B, m *mesh, list []string, publish func(i int)) {
	const streams = 100
	ctx, cancel := context.WithCancel(b.Context())
	var done sync.WaitGroup
	sinks, requests := make([]*sink, streams), make([]chan *request, streams)
	for i := range streams {
		sinks[i], requests[i] = &sink{ctx: ctx, sent: make(chan *frames)}, make(chan *request, 1)
		done.Go(func() {
			_ = m.serve(sinks[i], true, func() (*request, error) {
				select {
				case r := <-requests[i]:
					return r, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			})
		})
		requests[i] <- &request{node: node(fmt.Sprint("p", i), "default"), typeURL: typeEndpoint, subscribe: list}
	}
	round := func() {
		for i, s := range sinks {
			f := <-s.sent
			requests[i] <- &request{typeURL: typeEndpoint, nonce: lastNonce(b, f.parts)}
		}
	}
	round()
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		publish(i)
		round()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/streams, "ns/stream")
	cancel()
	done.Wait()
}

// BenchmarkPushOverGRPC is BenchmarkPush with gRPC streams of one in-memory connection and clients that decode.
func BenchmarkPushOverGRPC(b *testing.B) {
	const streams = 100
	m := newMesh(b, Options{})
	all := sharded(endpoints.Part, 1000)
	m.publish(func(w *world) { w.sets[endpoints] = all })
	list := newBatch(all.All(), nil).names()
	versions := []*translate.Set{edit(all, endpoints.Part, "namespace-01", list[77], 2), edit(all, endpoints.Part, "namespace-01", list[77], 3)}
	clients := make([]discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient, streams)
	node := node("p", "default")
	for i := range clients {
		stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(m.conn).DeltaAggregatedResources(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		clients[i] = stream
		if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: typeEndpoint, ResourceNamesSubscribe: list}); err != nil {
			b.Fatal(err)
		}
	}
	round := func() {
		for _, c := range clients {
			r, err := c.Recv()
			if err != nil {
				b.Fatal(err)
			}
			if err := c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()}); err != nil {
				b.Fatal(err)
			}
		}
	}
	round()
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		m.publish(func(w *world) { w.sets[endpoints] = versions[i%2] })
		round()
	}
}

// BenchmarkConnect measures a stream that asks for 1,000 upstreams and the endpoints of each, until all was sent.
func BenchmarkConnect(b *testing.B) {
	m := newMesh(b, Options{})
	m.publish(func(w *world) {
		w.sets[upstreams], w.sets[endpoints] = sharded(upstreams.Part, 1000), sharded(endpoints.Part, 1000)
	})
	list := newBatch(m.world.sets[endpoints].All(), nil).names()
	first := node("p", "default")
	b.ReportAllocs()
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		s := &sink{ctx: ctx, sent: make(chan *frames)}
		requests := make(chan *request, 2)
		requests <- &request{node: first, typeURL: typeCluster}
		requests <- &request{typeURL: typeEndpoint, subscribe: list}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = m.serve(s, true, func() (*request, error) {
				select {
				case r := <-requests:
					return r, nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			})
		}()
		<-s.sent
		<-s.sent
		cancel()
		<-done
	}
}
