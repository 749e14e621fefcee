package registry

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// source is what a snapshot was made from, so that the next one is made from the difference.
type source struct {
	clusters   []*Objects // ordered by cluster
	networks   []clusterNetwork
	namespaces map[string]*built
	wanted     *Wanted // Secrets of gateways
}

// built is what one namespace came to. It is immutable.
type built struct {
	out      *model.Namespace           // nil when the mesh has nothing to know of it
	services map[string][]model.Problem // of each service that has some
	gateways []model.Problem            // of its Gateways
	entries  []networkService           // its Services that are gateways of networks
}

// cluster is one cluster in the making of a snapshot.
type cluster struct {
	*Objects                 // now; without objects when the cluster has left
	was      *Objects        // in the previous snapshot; nil when it is new
	network  clusterNetwork  // what decides the networks of its endpoints
	all      bool            // everything counts as changed
	nodes    map[string]bool // those that changed
}

// builder holds what all namespaces share while a snapshot is made.
type builder struct {
	mesh     *model.Mesh
	clusters []*cluster // ordered by name, with those that have left
}

// Build merges the objects of all clusters into a snapshot. Prev is the one that Build gave before, or nil; what did not
// change since keeps its pointer, and when nothing did, Build gives prev itself. Its cost grows with the namespaces that
// changed.
//
// The same namespace and name in two clusters are the same service. Its ports and type are those of its oldest
// definition, so the order of clusters and events does not matter, and no cluster is special.
func Build(prev *model.Snapshot, clusters []*Objects, mesh *model.Mesh) *model.Snapshot {
	var was source
	next := model.Snapshot{Mesh: mesh}
	if prev != nil {
		was, next = *prev.Source.(*source), *prev
		if !reflect.DeepEqual(prev.Mesh, mesh) {
			next.Mesh = mesh
		}
	}
	b := newBuilder(&was, clusters, next.Mesh, prev != nil && prev.Mesh != next.Mesh)
	now := source{namespaces: b.rebuild(was.namespaces), wanted: NextWanted(was.wanted, next.Mesh.Cluster, clusters)}
	for _, c := range b.clusters {
		if c.Objects.Cluster != "" {
			now.clusters = append(now.clusters, c.Objects)
			now.networks = append(now.networks, c.network)
		}
	}
	b.publish(&next, was.namespaces, &now)
	if prev != nil && equal(prev, &next) {
		return prev
	}
	next.Revision++
	next.Source = &now
	return &next
}

// equal compares two snapshots by the pointers of what they hold.
func equal(a, b *model.Snapshot) bool {
	return a.Mesh == b.Mesh && a.Gateways == b.Gateways && slices.Equal(a.Clusters, b.Clusters) &&
		maps.Equal(a.Namespaces, b.Namespaces) && slices.Equal(a.Problems, b.Problems)
}

func newBuilder(was *source, clusters []*Objects, mesh *model.Mesh, meshChanged bool) *builder {
	b := &builder{mesh: mesh}
	for _, o := range clusters {
		c := &cluster{Objects: o, network: clusterNetworkOf(o, mesh), all: meshChanged}
		if i := slices.IndexFunc(was.clusters, func(w *Objects) bool { return w.Cluster == o.Cluster }); i >= 0 {
			c.was = was.clusters[i]
			c.all = c.all || was.networks[i] != c.network
			c.nodes = changedNodes(c.was, o)
		}
		b.clusters = append(b.clusters, c)
	}
	for _, w := range was.clusters {
		if !slices.ContainsFunc(clusters, func(o *Objects) bool { return w.Cluster == o.Cluster }) {
			b.clusters = append(b.clusters, &cluster{Objects: &Objects{}, was: w})
		}
	}
	slices.SortFunc(b.clusters, func(x, y *cluster) int { return cmp.Compare(x.Objects.Cluster, y.Objects.Cluster) })
	return b
}

func changedNodes(was, now *Objects) map[string]bool {
	var nodes map[string]bool
	changes(was.namespace("").kind(KindNode), now.namespace("").kind(KindNode), func(name string, _, _ Object) {
		if nodes == nil {
			nodes = make(map[string]bool)
		}
		nodes[name] = true
	})
	return nodes
}

// rebuild makes the namespaces that changed again, and gives all of them.
func (b *builder) rebuild(old map[string]*built) map[string]*built {
	namespaces := patch[string, *built]{now: old}
	for name := range b.changedNamespaces() {
		was := old[name]
		if is := b.namespace(name, was); is == nil {
			namespaces.delete(name)
		} else if is != was {
			namespaces.set(name, is)
		}
	}
	return namespaces.now
}

// changedNamespaces names the namespaces in which something may have to be made again.
func (b *builder) changedNamespaces() map[string]bool {
	changed := make(map[string]bool)
	mark := func(name string, was, is *namespace) {
		if name != "" {
			changed[name] = true
		}
	}
	for _, c := range b.clusters {
		var was table[*namespace]
		if c.was != nil {
			was = c.was.namespaces
		}
		if c.all {
			changes(table[*namespace]{}, was, mark)
			changes(table[*namespace]{}, c.namespaces, mark)
			continue
		}
		changes(was, c.namespaces, mark)
		if len(c.nodes) == 0 {
			continue
		}
		for name, ns := range c.namespaces.all() {
			if !changed[name] && ns.uses(c.nodes) {
				changed[name] = true
			}
		}
	}
	return changed
}

// uses says whether anything in the namespace runs on one of the nodes.
func (n *namespace) uses(nodes map[string]bool) bool {
	for _, object := range n.kind(KindPod).all() {
		if nodes[object.(*Pod).Node] {
			return true
		}
	}
	for s := range n.slices() {
		if slices.ContainsFunc(s.Endpoints, func(e SliceEndpoint) bool { return nodes[e.Node] }) {
			return true
		}
	}
	return false
}

// publish fills a snapshot that is a copy of the one before.
func (b *builder) publish(next *model.Snapshot, old map[string]*built, source *source) {
	now := source.namespaces
	namespaces := patch[string, *model.Namespace]{now: next.Namespaces}
	for name, is := range now {
		if was := old[name]; was == is {
			continue
		}
		if is.out == nil {
			namespaces.delete(name)
		} else if next.Namespaces[name] != is.out {
			namespaces.set(name, is.out)
		}
	}
	for name := range old {
		if now[name] == nil {
			namespaces.delete(name)
		}
	}
	if namespaces.now == nil {
		namespaces.now = map[string]*model.Namespace{}
	}
	next.Namespaces = namespaces.now
	next.Clusters = share(next.Clusters, b.clusterNames())

	gateways, problems := b.networkGateways(now)
	if next.Gateways == nil || !slices.Equal(next.Gateways.Items, gateways) {
		next.Gateways = &model.NetworkGateways{Items: gateways}
	}
	for _, is := range now {
		problems = append(problems, is.gateways...)
		for _, texts := range is.services {
			problems = append(problems, texts...)
		}
	}
	problems = append(problems, source.wanted.problems()...)
	slices.SortFunc(problems, compareProblems)
	next.Problems = share(next.Problems, problems)
}

// clusterNames gives the clusters that are in the snapshot, the own one first.
func (b *builder) clusterNames() []model.Cluster {
	var names []model.Cluster
	for _, c := range b.clusters {
		switch name := c.Objects.Cluster; name {
		case "": // has left
		case b.mesh.Cluster:
			names = slices.Insert(names, 0, name)
		default:
			names = append(names, name)
		}
	}
	return names
}

func compareProblems(a, b model.Problem) int {
	return cmp.Or(
		strings.Compare(a.Object.Kind, b.Object.Kind), strings.Compare(a.Object.Namespace, b.Object.Namespace),
		strings.Compare(a.Object.Name, b.Object.Name), cmp.Compare(a.Object.Cluster, b.Object.Cluster),
		strings.Compare(a.Text, b.Text),
	)
}

// share gives old when both are equal, so that it is not kept twice.
func share[E comparable](old, now []E) []E {
	if slices.Equal(old, now) {
		return old
	}
	return now
}

// sortByAge orders by time of creation, then by a name that tells equals apart.
func sortByAge[T any](items []T, of func(T) (time.Time, string)) {
	slices.SortFunc(items, func(a, b T) int {
		atA, nameA := of(a)
		atB, nameB := of(b)
		return cmp.Or(atA.Compare(atB), strings.Compare(nameA, nameB))
	})
}

// patch is a map that is copied before its first change.
type patch[K comparable, V any] struct {
	now     map[K]V
	changed bool
}

func (p *patch[K, V]) set(k K, v V) {
	p.own()
	p.now[k] = v
}

func (p *patch[K, V]) delete(k K) {
	if _, ok := p.now[k]; ok {
		p.own()
		delete(p.now, k)
	}
}

func (p *patch[K, V]) own() {
	if p.changed {
		return
	}
	p.changed = true
	if p.now == nil {
		p.now = make(map[K]V)
		return
	}
	p.now = maps.Clone(p.now)
}
