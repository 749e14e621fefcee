// Package controlplane assembles istiod: it wires the watched clusters, the registry, discovery, the certificate
// authority and the injector together and serves them. It holds no logic of its own beyond the wiring.
package controlplane

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	security "istio.io/api/security/v1alpha1"
	istio "istio.io/client-go/pkg/clientset/versioned"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/isthmus-mesh/isthmus/internal/authn"
	"github.com/isthmus-mesh/isthmus/internal/ca"
	"github.com/isthmus-mesh/isthmus/internal/clusters"
	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
	"github.com/isthmus-mesh/isthmus/internal/translate"
	"github.com/isthmus-mesh/isthmus/internal/trust"
	"github.com/isthmus-mesh/isthmus/internal/version"
	"github.com/isthmus-mesh/isthmus/internal/webhook"
	"github.com/isthmus-mesh/isthmus/internal/xds"
)

// istiod is the parts of one control plane.
type istiod struct {
	Options
	log      *slog.Logger
	metrics  *prometheus.Registry
	client   kubernetes.Interface // of the own cluster
	settings *meshSettings
	clusters *clusters.Set
	xds      *xds.Server
	pub      *publisher
	ready    *readiness
	callers  *authn.Authenticator // nil in tests on loopback
}

// Run serves a control plane until the context ends.
func Run(ctx context.Context, o Options, log *slog.Logger) error {
	// 1. Settings, and the own cluster.
	if err := o.Validate(); err != nil {
		return err
	}
	config, err := restConfig(o)
	if err != nil {
		return fmt.Errorf("find the own cluster: %w", err)
	}
	d, err := newIstiod(o, config, log)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)

	// 2. Settings of the mesh: discovery must not start with other ones.
	if err := d.settings.watch(ctx, d.client, o.Namespace, o.Revision, d.pub.settingsChanged); err != nil {
		return fmt.Errorf("watch mesh configuration: %w", err)
	}

	// 3. Clusters -> snapshots -> streams.
	group.Go(func() error { return d.clusters.Run(ctx) })
	group.Go(func() error { return d.pub.run(ctx) })

	// 4. Who may talk to us, and with which certificates. Tests on loopback have neither.
	if o.PlaintextAddress != "" {
		server := grpc.NewServer(d.xds.ServerOptions()...)
		d.xds.Register(server)
		group.Go(func() error { return serveGRPC(ctx, o.PlaintextAddress, server) })
	} else if err := d.secure(ctx, group); err != nil {
		return err
	}

	// 5. People, probes, and scrapers.
	if o.HTTPAddress != "" {
		group.Go(func() error { return serveHTTP(ctx, o.HTTPAddress, d.httpHandler(), nil) })
	}
	if o.MonitoringAddress != "" {
		group.Go(func() error { return serveHTTP(ctx, o.MonitoringAddress, d.monitoringHandler(), nil) })
	}
	log.Info("istiod runs", "version", version.Version, "cluster", o.Cluster, "namespace", o.Namespace, "revision", o.Revision)
	return group.Wait()
}

func restConfig(o Options) (*rest.Config, error) {
	if o.Kubeconfig == "" {
		return rest.InClusterConfig()
	}
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: o.Kubeconfig},
		&clientcmd.ConfigOverrides{CurrentContext: o.Context},
	).ClientConfig()
}

// newIstiod makes the parts. Nothing runs yet.
func newIstiod(o Options, config *rest.Config, log *slog.Logger) (*istiod, error) {
	config.QPS, config.Burst = 100, 200
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the own cluster: %w", err)
	}
	istioClient, err := istio.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the own cluster: %w", err)
	}
	d := &istiod{Options: o, log: log, client: client, metrics: prometheus.NewRegistry()}
	d.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	d.ready = newReadiness(ownCluster)
	if o.PlaintextAddress == "" && o.WebhookAddress != "" {
		d.ready = newReadiness(ownCluster, injector)
	}
	d.settings = newMeshSettings(registry.Own{
		Cluster: model.Cluster(o.Cluster), Domain: o.Domain, Namespace: o.Namespace,
	}, log)
	d.clusters = clusters.New(clusters.Options{
		Cluster: model.Cluster(o.Cluster), Namespace: o.Namespace,
		Client: client, Istio: istioClient, Metrics: d.metrics, Log: log,
	})
	var authenticate func(context.Context) (string, string, error)
	if o.PlaintextAddress == "" {
		authenticate = d.caller
	}
	d.xds = xds.New(xds.Options{
		Generator: translate.Generator{}, Authenticate: authenticate, SystemNamespace: o.Namespace,
		Instance:   xds.Instance{ID: o.PodName, Version: version.Version, Tag: version.Version},
		Registerer: d.metrics, Log: log,
	})
	d.pub = newPublisher(d.clusters.Changes(), d.settings.current, func(s *model.Snapshot) {
		d.xds.Publish(s)
		d.ready.done(ownCluster)
	}, log)
	return d, nil
}

// authenticator knows callers by certificate or token. The trust domain is read once: changing it means new
// certificates for everybody.
func (d *istiod) authenticator() (*authn.Authenticator, trust.Domain, error) {
	domain, err := trust.ParseDomain(d.settings.fixTrustDomain())
	if err != nil {
		return nil, domain, fmt.Errorf("trust domain of the mesh: %w", err)
	}
	return authn.New(authn.Options{
		Domain: domain, Cluster: d.Cluster, Audiences: d.TokenAudiences,
		Reviewers: func(cluster string) (authn.TokenReviewer, bool) {
			client, ok := d.clusters.Client(model.Cluster(cluster))
			if !ok {
				return nil, false
			}
			return client.AuthenticationV1().TokenReviews(), true
		},
		Clusters: func() []string {
			var names []string
			for _, s := range d.clusters.Status() {
				names = append(names, string(s.Cluster))
			}
			return names
		},
	}), domain, nil
}

// secure serves discovery and certificates over TLS, and injection, and keeps what they need in the cluster.
func (d *istiod) secure(ctx context.Context, group *errgroup.Group) error {
	callers, domain, err := d.authenticator()
	if err != nil {
		return err
	}
	d.callers = callers
	secrets := ca.Secrets{Client: d.client, Namespace: d.Namespace, Domain: domain, Log: d.log}
	authority, err := secrets.LoadOrCreate(ctx)
	if err != nil {
		return fmt.Errorf("certificate authority: %w", err)
	}
	serving, err := ca.NewServingCertificate(authority, ca.ServingOptions{
		Names: d.servingNames(), Log: d.log,
	})
	if err != nil {
		return fmt.Errorf("istiod's own certificate: %w", err)
	}
	signer := ca.NewService(authority, callers.Authenticate, d.metrics, ca.ServiceOptions{
		DefaultTTL: d.DefaultCertTTL, MaxTTL: d.MaxCertTTL, Log: d.log,
	})
	group.Go(func() error { return secrets.Watch(ctx, authority) })
	group.Go(func() error { return ca.NewRootConfigMaps(d.client, authority, d.log).Run(ctx) })

	if d.GRPCAddress != "" {
		server := grpc.NewServer(append(d.xds.ServerOptions(), grpc.Creds(credentials.NewTLS(serving.TLSConfig())))...)
		d.xds.Register(server)
		security.RegisterIstioCertificateServiceServer(server, signer)
		group.Go(func() error { return serveGRPC(ctx, d.GRPCAddress, server) })
	}
	return d.injection(ctx, group, authority, serving)
}

// servingNames are the names in istiod's certificate: those of its Services, the one that the mesh tells proxies to call, and
// those that the installation adds.
func (d *istiod) servingNames() []string {
	hosts := d.CustomHosts
	if host := d.settings.discoveryHost(); net.ParseIP(host) == nil {
		hosts = append([]string{host}, hosts...)
	}
	return ca.ServerNames(d.Namespace, d.Revision, hosts...)
}

// injection serves the webhook and keeps its registration in the cluster up to date.
func (d *istiod) injection(ctx context.Context, group *errgroup.Group, authority *ca.Current, serving *ca.ServingCertificate) error {
	if d.WebhookAddress == "" {
		return nil
	}
	config := &webhook.Config{TrustDomain: d.settings.current().TrustDomain}
	native, err := d.nativeSidecars(ctx)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	webhook.NewInjector(webhook.InjectorOptions{
		Config: config, NativeSidecars: native, Metrics: d.metrics, Log: d.log,
	}).Register(mux)
	group.Go(func() error {
		return webhook.WatchConfig(ctx, webhook.ConfigWatch{
			Client: d.client, Namespace: d.Namespace, Revision: d.Revision, Log: d.log, Config: config,
			OnChange: func(error) {
				if inputs, ok := config.Inputs(); ok {
					d.settings.setInstalled(model.Network(inputs.Network), inputs.MeshID)
					d.pub.settingsChanged()
					d.ready.done(injector)
				}
			},
		})
	})
	group.Go(func() error {
		roots := webhook.Roots{Current: func() []byte { return authority.Roots().PEM() }, Changed: eachChange(ctx, authority)}
		return webhook.KeepCABundle(ctx, d.client, d.Revision, roots, d.log)
	})
	group.Go(func() error { return serveHTTP(ctx, d.WebhookAddress, mux, serving.TLSConfig()) })
	return nil
}

// nativeSidecars tells whether sidecars are init containers that go on: as the installation says, or as the nodes can.
func (d *istiod) nativeSidecars(ctx context.Context) (func() bool, error) {
	if d.NativeSidecars != Auto {
		return func() bool { return d.NativeSidecars == Always }, nil
	}
	nodes := &nativeSidecars{}
	if err := nodes.watch(ctx, d.client); err != nil {
		return nil, fmt.Errorf("watch nodes: %w", err)
	}
	return nodes.native.Load, nil
}

// eachChange gives a value for each change of the authority.
func eachChange(ctx context.Context, authority *ca.Current) <-chan struct{} {
	changes := make(chan struct{})
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-authority.Changed():
			}
			select {
			case <-ctx.Done():
				return
			case changes <- struct{}{}:
			}
		}
	}()
	return changes
}

// caller names who opens a stream.
func (d *istiod) caller(ctx context.Context) (namespace, serviceAccount string, err error) {
	c, err := d.callers.Authenticate(ctx)
	if err != nil {
		return "", "", err
	}
	return c.ID.Namespace(), c.ID.ServiceAccount(), nil
}

func (d *istiod) httpHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /ready", d.ready)
	mux.Handle("/debug/", loopbackOnly(d.debugHandler()))
	return mux
}

func (d *istiod) monitoringHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(d.metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s-unknown-Clean", version.Version)
	})
	mux.Handle("/debug/", loopbackOnly(d.debugHandler()))
	return mux
}
