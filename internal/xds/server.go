// Package xds serves configuration to proxies over Envoy's aggregated discovery service, delta and state of the world.
// It keeps for each class of proxies the latest set of resources, sends every stream what differs from what it holds,
// and knows who acknowledged what. The assembly of the control plane and the command line's status read it. It never
// decides what a resource says, and never encodes one: streams of a class send the same bytes.
package xds

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/translate"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// Generator makes the resources that the server sends. Both methods are called from many goroutines at once.
type Generator interface {
	// Classes gives the classes whose sets, together, are a proxy's resources of a type. The names in them are
	// disjoint. It is nil when the type is not served.
	Classes(s *model.Snapshot, p view.Proxy, typeURL string) []view.Class
	// Build makes the set of a class. Prev is the set of the same class of an earlier snapshot, or nil.
	Build(s *model.Snapshot, c view.Class, prev *translate.Set) *translate.Set
}

// Options are the settings of a Server. Only Generator must be set.
type Options struct {
	Generator Generator
	// Authenticate names the caller of a stream by its credential, or fails. Nil accepts every caller as who it says
	// it is, which is for tests on loopback.
	Authenticate func(ctx context.Context) (namespace, serviceAccount string, err error)
	// SystemNamespace is whose callers may ask for the state of other proxies; empty means istio-system.
	SystemNamespace string
	// Instance tells callers of the debug types which control plane answered.
	Instance   Instance
	Registerer prometheus.Registerer // nil: metrics are kept but not exported
	Log        *slog.Logger          // nil: nothing is logged

	FirstSnapshotWait time.Duration // how long a stream waits for the first snapshot; 0 means 30 s
	KeepUnused        time.Duration // how long the set of a class outlives its last stream; 0 means a minute
	MaxStreams        uint32        // a connection; 0 means 100,000
	MaxReceive        int           // bytes of one request; 0 means 4 MiB
	MaxAge            time.Duration // of a connection, so that load spreads over replicas; 0 means 30 minutes
	MaxAgeGrace       time.Duration // 0 means 10 s
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	set(&o.FirstSnapshotWait, 30*time.Second)
	set(&o.KeepUnused, time.Minute)
	set(&o.MaxAge, 30*time.Minute)
	set(&o.MaxAgeGrace, 10*time.Second)
	if o.SystemNamespace == "" {
		o.SystemNamespace = "istio-system"
	}
	if o.MaxStreams == 0 {
		o.MaxStreams = 100_000
	}
	if o.MaxReceive == 0 {
		o.MaxReceive = 4 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// publication is a snapshot as the streams see it: a chain in which each link says when the next one is there.
type publication struct {
	snapshot *model.Snapshot // nil before the first one
	seq      uint64          // order of publication, whatever the snapshot's own revision says
	at       time.Time
	next     chan struct{} // closed when a newer one is published
}

// Server is the discovery service. Register it with a grpc.Server made with its ServerOptions.
type Server struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	opts    Options
	store   *store
	metrics *metrics
	current atomic.Pointer[publication]

	mu     sync.Mutex // guards what follows, and the order of publications
	conns  map[*conn]struct{}
	lastID uint64
}

// New makes a Server that has nothing to serve yet: streams wait for the first Publish.
func New(o Options) *Server {
	o = o.withDefaults()
	m := newMetrics(o.Registerer)
	s := &Server{opts: o, metrics: m, store: newStore(o.Generator, m), conns: map[*conn]struct{}{}}
	s.current.Store(&publication{next: make(chan struct{})})
	return s
}

// ServerOptions are what a grpc.Server needs to carry this service; other services on it work as usual. The codec is
// server wide, but passes protobuf messages through.
func (s *Server) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxConcurrentStreams(s.opts.MaxStreams),
		grpc.MaxRecvMsgSize(s.opts.MaxReceive),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: 30 * time.Second, Timeout: 10 * time.Second,
			MaxConnectionAge: s.opts.MaxAge, MaxConnectionAgeGrace: s.opts.MaxAgeGrace,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 15 * time.Second, PermitWithoutStream: true}),
	}
}

// Register adds the service to a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(r, s)
}

// Publish makes a snapshot the newest and wakes every stream. It does not wait for them, and builds nothing: sets are
// built when the first stream needs them.
func (s *Server) Publish(snapshot *model.Snapshot) {
	s.mu.Lock()
	old := s.current.Load()
	s.current.Store(&publication{snapshot: snapshot, seq: old.seq + 1, at: time.Now(), next: make(chan struct{})})
	s.mu.Unlock()
	close(old.next)
	s.store.sweep(time.Now().Add(-s.opts.KeepUnused))
}

// DeltaAggregatedResources serves one proxy by the incremental protocol.
func (s *Server) DeltaAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.serve(stream, true, func() (*request, error) {
		r, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		return &request{
			node: r.GetNode(), typeURL: r.GetTypeUrl(), nonce: r.GetResponseNonce(), problem: r.GetErrorDetail(),
			subscribe: r.GetResourceNamesSubscribe(), unsubscribe: r.GetResourceNamesUnsubscribe(),
			versions: r.GetInitialResourceVersions(),
		}, nil
	})
}

// StreamAggregatedResources serves one proxy by the state-of-the-world protocol.
func (s *Server) StreamAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return s.serve(stream, false, func() (*request, error) {
		r, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		return &request{
			node: r.GetNode(), typeURL: r.GetTypeUrl(), nonce: r.GetResponseNonce(), problem: r.GetErrorDetail(),
			subscribe: r.GetResourceNames(),
		}, nil
	})
}

func (s *Server) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastID++
	c.id = s.lastID
	s.conns[c] = struct{}{}
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// ended turns the end that the client chose into success.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
