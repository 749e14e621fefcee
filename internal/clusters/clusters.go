// Package clusters watches the API servers of the mesh: that of the own cluster, and that of every cluster that a remote
// Secret names. It trims their objects on arrival, gives them to whoever builds snapshots, and says of each cluster how
// fresh they are. It never forgets what it knew of a cluster because that cluster cannot be reached, never replaces a
// credential that works by one that does not, and never waits for a remote cluster.
package clusters

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	istioclient "istio.io/client-go/pkg/clientset/versioned"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
	"github.com/isthmus-mesh/isthmus/internal/remotesecret"
)

// Options are the settings of a Set.
type Options struct {
	// Cluster is the name of the own cluster. A remote Secret that names it is left out.
	Cluster model.Cluster
	// Namespace is that of the control plane: remote Secrets are read there and nowhere else.
	Namespace string
	// Client reads the own cluster.
	Client kubernetes.Interface
	// Istio reads Gateways of the own cluster; nil means that there are none.
	Istio istioclient.Interface
	// Parse reads a remote Secret; nil means remotesecret.Parse.
	Parse func(*corev1.Secret) ([]remotesecret.Remote, []remotesecret.Problem)
	// Open makes a client from a kubeconfig, without contacting anybody; nil means Open of this package.
	Open func(kubeconfig []byte) (Client, error)
	// Probe is how often each API server is asked for a sign of life; zero means 10 s.
	Probe time.Duration
	// Metrics takes the metrics; nil means none.
	Metrics prometheus.Registerer
	// Log takes a line for each change of a cluster's state; nil means slog.Default.
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Parse == nil {
		o.Parse = func(s *corev1.Secret) ([]remotesecret.Remote, []remotesecret.Problem) { return remotesecret.Parse(s) }
	}
	if o.Open == nil {
		o.Open = Open
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	o.Probe = cmp.Or(o.Probe, 10*time.Second)
	return o
}

// Update is what is known of all clusters at one moment.
type Update struct {
	Revision uint64              // grows with every update
	Clusters []*registry.Objects // the own cluster first, then by name
	// Missing are the clusters that a Secret names but that have not been read yet, by name: what they have is unknown, which
	// is something else than nothing.
	Missing []model.Cluster
}

// Set is the set of watched clusters.
type Set struct {
	options Options
	wake    chan struct{} // holds at most one: look again
	changes chan Update
	ready   chan struct{} // closed when the own cluster is synced
	metrics *metrics
	running sync.WaitGroup // generations and the watch of Secrets

	mu             sync.Mutex // guards what follows
	secrets        map[types.NamespacedName]*corev1.Secret
	secretsRead    bool        // once at least
	secretsChanged bool        // since they were applied
	own            *generation // nil before Run
	ownSince       time.Time   // when the own cluster was synced; zero before
	remotes        map[model.Cluster]*remote
	refused        []Status // entries of Secrets that are no remote
	latest         Update
	wanted         *registry.Wanted            // Secrets of gateways; nil before the own cluster is synced
	credentials    map[string]*credentialWatch // by namespace
}

// New gives a Set that watches nothing until Run.
func New(options Options) *Set {
	s := &Set{
		options:     options.withDefaults(),
		wake:        make(chan struct{}, 1),
		changes:     make(chan Update),
		ready:       make(chan struct{}),
		secrets:     make(map[types.NamespacedName]*corev1.Secret),
		remotes:     make(map[model.Cluster]*remote),
		credentials: make(map[string]*credentialWatch),
	}
	s.metrics = newMetrics(s)
	return s
}

// Changes gives the newest update, as often as there is one. While nobody receives, updates merge into one. There is none
// before the own cluster is synced.
func (s *Set) Changes() <-chan Update { return s.changes }

// Ready is closed when the own cluster has been read for the first time. Remote clusters are not waited for.
func (s *Set) Ready() <-chan struct{} { return s.ready }

// Client gives the client that reads a cluster, for calls into it such as TokenReview. While a new credential is unproven
// it is the one of the last that worked; for a cluster that has never been read there is none.
func (s *Set) Client(cluster model.Cluster) (kubernetes.Interface, bool) {
	if cluster == s.options.Cluster {
		return s.options.Client, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.remotes[cluster]; r != nil && r.current != nil {
		return r.current.client.Kubernetes, true
	}
	return nil, false
}

// Run watches until ctx ends, and returns when everything that it started has ended. It may be called once.
func (s *Set) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer s.running.Wait()
	defer cancel()

	s.mu.Lock()
	s.own = newGeneration(s.options.Cluster, Client{Kubernetes: s.options.Client}, "", s.look)
	s.mu.Unlock()
	s.start(ctx, s.own, ownSources(s.options.Client, s.options.Istio))
	s.running.Go(func() { s.watchSecrets(ctx) })

	var published uint64
	for {
		// What can happen: something was seen, the receiver takes the newest update, or it ends.
		update := s.reconcile(ctx)
		var out chan<- Update
		if update.Revision > published {
			out = s.changes
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case out <- update:
			published = update.Revision
		}
	}
}

// look makes Run look again. It never blocks.
func (s *Set) look() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Set) start(ctx context.Context, g *generation, sources []source) {
	ctx, g.cancel = context.WithCancel(ctx)
	s.running.Go(func() { g.run(ctx, sources, s.options.Probe) })
}

// reconcile makes the remotes what the Secrets say, and gives the newest update.
func (s *Set) reconcile(ctx context.Context) Update {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reconcileRemotes(ctx)
	own, synced := s.own.look()
	if !synced || !s.secretsRead {
		return Update{}
	}
	if s.ownSince.IsZero() {
		s.ownSince = time.Now()
		close(s.ready)
		s.options.Log.Info("own cluster is synced", "cluster", s.options.Cluster)
	}
	now := Update{Revision: s.latest.Revision + 1, Clusters: []*registry.Objects{own}}
	for _, name := range slices.Sorted(maps.Keys(s.remotes)) {
		if g := s.remotes[name].current; g != nil {
			objects, _ := g.look()
			now.Clusters = append(now.Clusters, objects)
		} else {
			now.Missing = append(now.Missing, name)
		}
	}
	s.followCredentials(ctx, now.Clusters)
	if !slices.Equal(now.Clusters, s.latest.Clusters) || !slices.Equal(now.Missing, s.latest.Missing) {
		s.latest = now
	}
	return s.latest
}
