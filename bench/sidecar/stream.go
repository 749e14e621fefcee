package sidecar

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// sidecar is one of a fleet.
type sidecar struct {
	fleet  *Fleet
	number int
	node   *corev3.Node

	mu      sync.Mutex // guards session against readers; one goroutine changes it
	session *session
}

// run holds a stream until ctx ends, and opens another when one is lost: at once, or after a moment when it gave nothing.
func (s *sidecar) run(ctx context.Context, complete func()) {
	for {
		heard := false
		_ = s.stream(ctx, func() { // that streams end is counted, not told
			heard = true
			if s.session.complete() {
				complete()
			}
		})
		if ctx.Err() != nil {
			return
		}
		s.fleet.lost.Add(1)
		if heard {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// stream opens a connection and a stream, and serves it until it ends. It calls heard after each response.
func (s *sidecar) stream(ctx context.Context, heard func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := s.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	method := "DeltaAggregatedResources"
	if s.fleet.options.WorldState {
		method = "StreamAggregatedResources"
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		"/envoy.service.discovery.v3.AggregatedDiscoveryService/"+method)
	if err != nil {
		return err
	}
	s.mu.Lock()
	requests := s.session.begin()
	s.mu.Unlock()
	node := s.node // only the first request has it
	for {
		for _, q := range requests {
			if err := stream.SendMsg(s.message(q, node)); err != nil {
				return err
			}
			node = nil
		}
		var in received
		if err := stream.RecvMsg(&in); err != nil {
			return err
		}
		requests, err = s.receive(&in)
		if err != nil {
			return err
		}
		heard()
	}
}

func (s *sidecar) connect() (*grpc.ClientConn, error) {
	const window = 1 << 20 // as the agent has it
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(1<<30)),
	}
	if dial := s.fleet.options.Dial; dial != nil {
		options = append(options, grpc.WithContextDialer(dial))
	}
	return grpc.NewClient("passthrough:///"+s.fleet.options.Address, options...)
}

// receive takes in one message and gives what to send then.
func (s *sidecar) receive(in *received) ([]request, error) {
	now := time.Now()
	defer in.buffer.Free()
	read := readDelta
	if s.fleet.options.WorldState {
		read = readWorld
	}
	r, err := read(in.buffer.ReadOnlyData())
	if err != nil {
		return nil, err
	}
	t, known := typeOf(r.typeURL)
	if !known {
		return nil, fmt.Errorf("a response of type %s, which nobody asked for", r.typeURL)
	}
	s.mu.Lock()
	requests, repeated, err := s.session.take(t, &r)
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	s.fleet.heard.Store(&now)
	count := &s.fleet.traffic[t]
	count.messages.Add(1)
	count.resources.Add(int64(len(r.resources)))
	count.removed.Add(int64(len(r.removed)))
	count.repeated.Add(int64(repeated))
	count.bytes.Add(int64(in.buffer.Len()))
	if a := s.fleet.awaited.Load(); a != nil {
		a.look(s.number, t, &r, now)
	}
	return requests, nil
}

// message writes a request in the fleet's protocol.
func (s *sidecar) message(q request, node *corev3.Node) proto.Message {
	sub := &s.session.subs[q.typ]
	if s.fleet.options.WorldState {
		return &discoveryv3.DiscoveryRequest{
			Node: node, TypeUrl: urls[q.typ], VersionInfo: sub.version, ResponseNonce: sub.nonce, ResourceNames: sub.all(),
		}
	}
	m := &discoveryv3.DeltaDiscoveryRequest{
		Node: node, TypeUrl: urls[q.typ], ResponseNonce: q.nonce, ResourceNamesSubscribe: q.add, ResourceNamesUnsubscribe: q.drop,
	}
	if q.first {
		m.InitialResourceVersions = sub.held
	}
	return m
}
