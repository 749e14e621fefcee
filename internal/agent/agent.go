package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	miekgdns "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/sync/errgroup"

	"github.com/isthmus-mesh/isthmus/internal/bootstrap"
	"github.com/isthmus-mesh/isthmus/internal/dns"
	"github.com/isthmus-mesh/isthmus/internal/nds"
	"github.com/isthmus-mesh/isthmus/internal/relay"
	"github.com/isthmus-mesh/isthmus/internal/sds"
)

// agent is one running agent.
type agent struct {
	o       Options
	env     variables
	facts   bootstrap.Facts
	metrics *prometheus.Registry

	keeper *sds.Keeper
	dns    *dns.Server // nil when DNS is not captured
	relay  *relay.Relay
	ready  *readiness
	pid    atomic.Int64  // of Envoy, 0 before it runs
	quit   chan struct{} // gets a value when somebody asks the agent to end
}

// Run runs the agent and Envoy until ctx ends, somebody posts to /quitquitquit, or one of them fails. On the way out Envoy
// first drains: see drain.go. An Envoy that ends by itself is an error, so that the kubelet starts both anew.
func Run(ctx context.Context, o Options) error {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a, err := newAgent(o)
	if err != nil {
		return err
	}
	// The services outlive ctx: a draining Envoy still needs its secrets and its configuration.
	services, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	group, services := errgroup.WithContext(services)
	if err := a.startServices(services, group); err != nil {
		cancel()
		return errors.Join(err, group.Wait())
	}
	err = a.runEnvoy(ctx, services)
	cancel()
	return errors.Join(err, group.Wait())
}

func newAgent(o Options) (*agent, error) {
	facts, err := o.facts()
	if err != nil {
		return nil, err
	}
	o = o.withConfig(facts.Config)
	a := &agent{o: o, env: environment(o.Environ), facts: facts, metrics: prometheus.NewRegistry(), quit: make(chan struct{}, 1)}
	metrics := prometheus.WrapRegistererWithPrefix("istio_agent_", a.metrics)
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	td, err := spiffeid.TrustDomainFromString(facts.TrustDomain)
	if err != nil {
		return nil, fmt.Errorf("trust domain: %w", err)
	}
	id, err := spiffeid.FromSegments(td, "ns", orDefault(facts.Namespace), "sa", orDefault(facts.ServiceAccount))
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	authority := a.controlPlane(a.env.get("CA_ADDR", facts.Config.GetDiscoveryAddress()), o.CARootFile, "CA_HEADER_")
	a.keeper = sds.NewKeeper(sds.Options{
		Identity: id.String(), Sign: sds.SignOver(authority.dial), KeyType: a.env.keyType(), Lifetime: a.env.lifetime(),
		Dir: o.ConfigDir, Metrics: metrics, Log: o.Log.With("scope", "sds"),
	})
	if facts.CapturesDNS() {
		if a.dns, err = a.newDNS(metrics); err != nil {
			return nil, err
		}
	}
	discovery := a.controlPlane(facts.Config.GetDiscoveryAddress(), o.XDSRootFile, "XDS_HEADER_")
	discovery.certificate = a.keeper.TLSCertificate
	a.relay = relay.New(relay.Options{
		Dial: discovery.dial, Names: a.names(), Metrics: metrics, Log: o.Log.With("scope", "xds"),
	})
	a.ready = newReadiness(o.AdminPort, a.dns, a.keeper)
	return a, nil
}

// orDefault is the name that Kubernetes gives both to the namespace and to the service account of who names none.
func orDefault(name string) string {
	if name == "" {
		return "default"
	}
	return name
}

func (a *agent) controlPlane(address, rootFile, headerPrefix string) controlPlane {
	headers := map[string]string{"clusterid": a.facts.ClusterID()}
	maps.Copy(headers, a.env.headers(headerPrefix))
	return controlPlane{
		address: address, serverName: a.env["ISTIOD_SAN"], rootFile: rootFile, tokenFile: a.o.TokenFile,
		headers: headers, plainText: a.o.PlainText,
	}
}

func (a *agent) names() func(nds.Table) {
	if a.dns == nil {
		return nil
	}
	return a.dns.SetTable
}

func (a *agent) newDNS(metrics prometheus.Registerer) (*dns.Server, error) {
	config, err := miekgdns.ClientConfigFromFile(a.o.ResolvConf)
	if err != nil {
		return nil, fmt.Errorf("read resolver configuration: %w", err)
	}
	o := dns.Options{
		Addresses: a.o.DNSAddresses, Namespace: a.facts.Namespace, Search: config.Search,
		ClusterDomain: strings.TrimPrefix(a.facts.Domain, a.facts.Namespace+"."),
		Metrics:       metrics, Log: a.o.Log.With("scope", "dns"),
	}
	if len(o.Addresses) == 0 {
		o.Addresses = dnsAddresses(a.facts.IPs)
	}
	for _, server := range config.Servers {
		o.Upstreams = append(o.Upstreams, net.JoinHostPort(server, config.Port))
	}
	return dns.New(o)
}

// dnsAddresses are where the capture rules redirect queries to, for each family that the pod has.
func dnsAddresses(ips []string) []string {
	out := []string{"127.0.0.1:15053"}
	for _, text := range ips {
		if ip := net.ParseIP(text); ip != nil && ip.To4() == nil {
			return append(out, "[::1]:15053")
		}
	}
	return out
}

// startServices opens all sockets, so that an error shows at once, and serves on them until ctx ends.
func (a *agent) startServices(ctx context.Context, group *errgroup.Group) error {
	secrets, err := listenUnix(a.o.SDSSocket)
	if err != nil {
		return err
	}
	xds, err := listenUnix(a.o.xdsSocket())
	if err != nil {
		return errors.Join(err, secrets.Close())
	}
	status, err := net.Listen("tcp", a.o.StatusAddress)
	if err != nil {
		return errors.Join(fmt.Errorf("listen for status: %w", err), secrets.Close(), xds.Close())
	}
	if a.dns != nil {
		group.Go(func() error { return a.dns.Run(ctx) })
	}
	group.Go(func() error { a.keeper.Run(ctx); return nil })
	group.Go(func() error { return sds.NewServer(a.keeper).Serve(ctx, secrets) })
	group.Go(func() error { return a.relay.Serve(ctx, xds) })
	group.Go(func() error { return serveHTTP(ctx, status, a.statusHandler()) })
	group.Go(func() error { a.reapOrphans(ctx); return nil })
	return nil
}

// listenUnix takes the place of a socket that a former life of this container left behind.
func listenUnix(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make room for socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove old socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l, nil
}

func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve status: %w", err)
	}
	return nil
}
