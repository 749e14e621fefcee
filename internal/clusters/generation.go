package clusters

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/discovery"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// probeTimeout is how long an API server may take for a sign of life.
const probeTimeout = 5 * time.Second

// generation is the watches of one cluster with one credential, and what they have seen. A cluster whose credential changes
// gets another generation; the objects belong to the generation, so that they go when it goes.
type generation struct {
	cluster model.Cluster
	client  Client
	hash    string // of the credential
	changed func() // is called after every change; never blocks

	cancel context.CancelFunc // ends the watches; set when they start

	mu        sync.Mutex // guards what follows
	objects   *registry.Objects
	waiting   map[string]bool // sources that have not been read yet; nil before run
	faults    map[string]fault
	lastEvent time.Time
}

// fault is what keeps a source from being fresh.
type fault struct {
	since time.Time
	err   error
}

func newGeneration(cluster model.Cluster, client Client, hash string, changed func()) *generation {
	return &generation{
		cluster: cluster, client: client, hash: hash, changed: changed,
		objects: registry.NewObjects(cluster),
		faults:  make(map[string]fault),
	}
}

// run watches until ctx ends, and returns when every watch has ended.
func (g *generation) run(ctx context.Context, sources []source, probe time.Duration) {
	g.mu.Lock()
	g.waiting = make(map[string]bool, len(sources))
	for _, src := range sources {
		g.waiting[src.name] = true
	}
	g.mu.Unlock()

	var watches sync.WaitGroup
	for _, src := range sources {
		watches.Go(func() { src.watch(ctx, g.feed(src)) })
	}
	watches.Go(func() { g.probe(ctx, probe) })
	watches.Wait()
	g.client.close()
}

// stop ends the watches, without waiting for it.
func (g *generation) stop() {
	if g != nil {
		g.cancel()
	}
}

// feed takes what one source sees.
func (g *generation) feed(src source) feed {
	return feed{
		replace: func(objects []any) {
			list := make([]registry.Object, len(objects))
			for i, o := range objects {
				list[i] = o.(registry.Object)
			}
			g.update(func() {
				g.objects = g.objects.Replace(src.kind, list)
				delete(g.waiting, src.name)
			})
		},
		put: func(object any) { g.update(func() { g.objects = g.objects.With(object.(registry.Object)) }) },
		drop: func(namespace, name string) {
			key := registry.Key{Kind: src.kind, Namespace: namespace, Name: name}
			if src.kind == registry.KindNamespace {
				key.Namespace = name
			}
			g.update(func() { g.objects = g.objects.Without(key) })
		},
		alive: func() { g.update(func() {}) },
		fault: func(err error) { g.setFault(src.name, err) },
	}
}

// update notes an event, and calls changed when it made a difference to the objects or completed the first reading.
func (g *generation) update(apply func()) {
	g.mu.Lock()
	objects, waiting := g.objects, len(g.waiting)
	apply()
	g.lastEvent = time.Now()
	different := objects != g.objects || waiting != len(g.waiting)
	g.mu.Unlock()
	if different {
		g.changed()
	}
}

// setFault notes that a source is broken, or with nil that it is not.
func (g *generation) setFault(name string, err error) {
	g.mu.Lock()
	was, broken := g.faults[name]
	switch {
	case err == nil:
		delete(g.faults, name)
	case broken:
		g.faults[name] = fault{was.since, err}
	default:
		g.faults[name] = fault{time.Now(), err}
	}
	g.mu.Unlock()
	if broken != (err != nil) || broken && was.err.Error() != err.Error() {
		g.changed()
	}
}

// probe asks the API server for a sign of life from time to time: a watch alone can be silent for long after a link broke.
func (g *generation) probe(ctx context.Context, every time.Duration) {
	api := discovery.ToServerVersionInterfaceWithContext(g.client.Kubernetes.Discovery())
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		once, cancel := context.WithTimeout(ctx, probeTimeout)
		_, err := api.ServerVersionWithContext(once)
		cancel()
		if apierrors.IsForbidden(err) {
			err = nil // an answer is a sign of life
		}
		if ctx.Err() == nil {
			g.setFault("probe", err)
		}
	}
}

// look gives the objects, and whether every source has been read once.
func (g *generation) look() (objects *registry.Objects, synced bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.objects, g.waiting != nil && len(g.waiting) == 0
}

// oldestFault gives the fault that has lasted longest, or nil.
func (g *generation) oldestFault() *fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	var oldest *fault
	for _, f := range g.faults {
		if oldest == nil || f.since.Before(oldest.since) || f.since.Equal(oldest.since) && f.err.Error() < oldest.err.Error() {
			oldest = &f
		}
	}
	return oldest
}

// succeed makes g share the pointers of a previous generation, where their objects are equal.
func (g *generation) succeed(previous *generation) {
	before, _ := previous.look()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.objects = before.Adopt(g.objects)
}
