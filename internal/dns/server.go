package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/isthmus-mesh/isthmus/internal/nds"
)

// Options of a Server. Namespace and Addresses are needed, the rest has zero values that work.
type Options struct {
	Addresses     []string // where to listen, UDP and TCP each: 127.0.0.1:15053
	Namespace     string   // of the proxy
	ClusterDomain string   // svc.cluster.local if empty; names below it have short forms
	Search        []string // search domains of resolv.conf
	Upstreams     []string // host:port of the servers of resolv.conf
	Metrics       prometheus.Registerer
	Log           *slog.Logger
}

// timeToLive of answers, in seconds: Istio's. Short, because addresses come and go with endpoints of headless services.
const timeToLive = 30

// upstreamTimeout bounds one question to one upstream server.
const upstreamTimeout = 5 * time.Second

// Server answers DNS queries. Listeners are open once New has returned, so that nothing is lost before Run.
type Server struct {
	o       Options
	udp     []net.PacketConn
	tcp     []net.Listener
	names   atomic.Pointer[names] // nil until the first table
	ready   chan struct{}         // closed with the first table
	once    sync.Once             // closes ready
	metrics serverMetrics
}

type serverMetrics struct {
	requests, upstream, failures prometheus.Counter
}

// New opens the sockets.
func New(o Options) (*Server, error) {
	if o.ClusterDomain == "" {
		o.ClusterDomain = "svc.cluster.local"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := promauto.With(o.Metrics)
	count := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	s := &Server{
		o: o, ready: make(chan struct{}),
		metrics: serverMetrics{
			requests: count("dns_requests_total", "DNS queries received."),
			upstream: count("dns_upstream_requests_total", "DNS queries passed on to the pod's own servers."),
			failures: count("dns_upstream_failures_total", "DNS queries that no upstream server answered."),
		},
	}
	for _, address := range o.Addresses {
		if err := s.listen(address); err != nil {
			s.close()
			return nil, fmt.Errorf("listen for DNS: %w", err)
		}
	}
	return s, nil
}

func (s *Server) listen(address string) error {
	tcp, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s.tcp = append(s.tcp, tcp)
	// The same port for both, also when the kernel chose it.
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		return err
	}
	s.udp = append(s.udp, udp)
	return nil
}

func (s *Server) close() {
	for _, udp := range s.udp {
		_ = udp.Close()
	}
	for _, tcp := range s.tcp {
		_ = tcp.Close()
	}
}

// Addr is the first address that the server listens on.
func (s *Server) Addr() string { return s.tcp[0].Addr().String() }

// SetTable replaces what the server knows. It may be called at any time.
func (s *Server) SetTable(table nds.Table) {
	search := ""
	if len(s.o.Search) > 0 {
		search = s.o.Search[0]
	}
	s.names.Store(newNames(table, s.o.Namespace, s.o.ClusterDomain, search))
	s.once.Do(func() { close(s.ready) })
}

// Ready is closed once the first table has arrived.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run answers until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { s.serve(ctx, w, q) })
	var servers []*dns.Server
	for i := range s.tcp {
		servers = append(
			servers,
			&dns.Server{PacketConn: s.udp[i], Handler: handler, UDPSize: dns.DefaultMsgSize},
			&dns.Server{Listener: s.tcp[i], Handler: handler},
		)
	}
	errs := make(chan error, len(servers))
	for _, server := range servers {
		go func() { errs <- server.ActivateAndServe() }()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-errs:
	}
	s.close()
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("serve DNS: %w", err)
}

func (s *Server) serve(ctx context.Context, w dns.ResponseWriter, q *dns.Msg) {
	s.metrics.requests.Inc()
	network := w.RemoteAddr().Network()
	reply := s.answer(ctx, network, q)
	if network == "udp" {
		reply.Truncate(udpSize(q))
	}
	if err := w.WriteMsg(reply); err != nil {
		s.o.Log.Debug("could not answer", "client", w.RemoteAddr(), "err", err)
	}
}

// answer decides who knows: the table, or the servers upstream.
func (s *Server) answer(ctx context.Context, network string, q *dns.Msg) *dns.Msg {
	known := s.names.Load()
	if known == nil || len(q.Question) != 1 {
		return s.forward(ctx, network, q)
	}
	question := q.Question[0]
	found, alias, ok := known.lookup(question.Name)
	if !ok {
		return s.forward(ctx, network, q)
	}
	switch question.Qtype {
	case dns.TypeA:
		return answerWith(q, alias, found.v4)
	case dns.TypeAAAA:
		return answerWith(q, alias, found.v6)
	default:
		return s.forwardKnown(ctx, network, q)
	}
}

// forwardKnown asks for a record that the table does not hold, such as SRV. The name exists, whatever upstream says:
// resolvers that ask for several types at once would take "no such name" for an answer to all of them.
func (s *Server) forwardKnown(ctx context.Context, network string, q *dns.Msg) *dns.Msg {
	reply := s.forward(ctx, network, q)
	if reply.Rcode == dns.RcodeSuccess {
		return reply
	}
	return answerWith(q, "", nil)
}

func answerWith(q *dns.Msg, alias string, ips []netip.Addr) *dns.Msg {
	reply := new(dns.Msg).SetReply(q)
	reply.Authoritative, reply.RecursionAvailable = true, true
	if opt := q.IsEdns0(); opt != nil {
		reply.SetEdns0(opt.UDPSize(), false)
	}
	name := q.Question[0].Name
	if alias != "" {
		reply.Answer = append(reply.Answer, &dns.CNAME{Hdr: header(name, dns.TypeCNAME), Target: alias})
		name = alias
	}
	for _, ip := range shuffled(ips) {
		if ip.Is4() {
			reply.Answer = append(reply.Answer, &dns.A{Hdr: header(name, dns.TypeA), A: ip.AsSlice()})
		} else {
			reply.Answer = append(reply.Answer, &dns.AAAA{Hdr: header(name, dns.TypeAAAA), AAAA: ip.AsSlice()})
		}
	}
	return reply
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: timeToLive}
}

// udpSize is the largest answer that the client takes by UDP.
func udpSize(q *dns.Msg) int {
	if opt := q.IsEdns0(); opt != nil {
		return int(max(opt.UDPSize(), dns.MinMsgSize))
	}
	return dns.MinMsgSize
}

// Names is what the server answers by itself, for people who debug it.
func (s *Server) Names() map[string][]string {
	out := map[string][]string{}
	if known := s.names.Load(); known != nil {
		for name, found := range known.byName {
			for _, ip := range append(append([]netip.Addr(nil), found.v4...), found.v6...) {
				out[strings.TrimSuffix(name, ".")] = append(out[strings.TrimSuffix(name, ".")], ip.String())
			}
		}
	}
	return out
}
