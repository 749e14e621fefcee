// Package relay passes xDS between Envoy, on a Unix socket, and the control plane: bytes in, the same bytes out. The agent runs
// it, so that Envoy needs neither address nor credentials of the control plane. It reads no resource but the name table, which it
// asks for itself and gives to the agent's DNS server.
package relay

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"google.golang.org/grpc"

	"github.com/isthmus-mesh/isthmus/internal/nds"
)

// Options of a Relay. Dial is needed.
type Options struct {
	// Dial gives a connection to the control plane that carries the pod's credentials. It is called once a stream, so that new
	// roots, certificates and addresses are seen, and streams spread over the replicas of the control plane.
	Dial func() (*grpc.ClientConn, error)

	Names   func(nds.Table) // gets every name table; nil asks for none
	Metrics prometheus.Registerer
	Log     *slog.Logger
}

// Relay serves both ADS methods.
type Relay struct {
	o       Options
	pacer   pacer
	metrics relayMetrics
}

type relayMetrics struct {
	requests, responses, failures, terminations prometheus.Counter
}

// New makes a relay; it does nothing before Serve.
func New(o Options) *Relay {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := promauto.With(o.Metrics)
	count := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return &Relay{o: o, metrics: relayMetrics{
		requests:     count("xds_proxy_requests", "xDS requests passed to the control plane."),
		responses:    count("xds_proxy_responses", "xDS responses received from the control plane."),
		failures:     count("istiod_connection_failures", "Connections to the control plane that failed."),
		terminations: count("istiod_connection_terminations", "Streams to the control plane that ended."),
	}}
}

// Serve passes streams on until ctx ends.
func (r *Relay) Serve(ctx context.Context, l net.Listener) error {
	server := grpc.NewServer(grpc.ForceServerCodecV2(codec{}), grpc.MaxRecvMsgSize(math.MaxInt32))
	server.RegisterService(r.service(), nil)
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	if err := server.Serve(l); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve xDS: %w", err)
	}
	return nil
}

// adsService is the service of both methods.
// https://www.envoyproxy.io/docs/envoy/v1.40.0/api-docs/xds_protocol
const adsService = "envoy.service.discovery.v3.AggregatedDiscoveryService"

func (r *Relay) service() *grpc.ServiceDesc {
	method := func(name string, d dialect) grpc.StreamDesc {
		return grpc.StreamDesc{
			StreamName: name, ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, down grpc.ServerStream) error { return r.pass(down, "/"+adsService+"/"+name, d) },
		}
	}
	return &grpc.ServiceDesc{ServiceName: adsService, HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{
		method("DeltaAggregatedResources", delta{}),
		method("StreamAggregatedResources", stateOfTheWorld{}),
	}}
}
