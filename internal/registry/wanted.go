package registry

import (
	"maps"
	"slices"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// Wanted says which Secrets the gateways of a mesh need: those that Gateways of the own cluster name, in the namespaces of
// the pods that these select, in any cluster. It is immutable. Nil wants nothing.
type Wanted struct {
	own        model.Cluster
	clusters   []*Objects                  // what it was made from
	gateways   []*model.Gateway            // those that name Secrets, oldest first
	namespaces map[string][]*model.Gateway // which of them select pods in a namespace
}

// NextWanted brings what was wanted up to date, and gives prev itself when all objects are still those. Its cost grows with
// the pods of the namespaces that changed, and is next to nothing while no Gateway names a Secret.
func NextWanted(prev *Wanted, own model.Cluster, clusters []*Objects) *Wanted {
	if prev == nil {
		prev = &Wanted{}
	}
	if prev.own == own && slices.Equal(prev.clusters, clusters) {
		return prev
	}
	next := &Wanted{own: own, clusters: slices.Clone(clusters), namespaces: prev.namespaces}
	next.gateways = prev.gateways
	if prev.own != own || gatewaysDiffer(prev.of(own), next.of(own)) {
		next.gateways = namingSecrets(next.of(own))
	}
	if !slices.Equal(prev.gateways, next.gateways) {
		next.namespaces = nil
		for _, c := range clusters {
			next.look(maps.Collect(c.namespaces.all()))
		}
		return next
	}
	if len(next.gateways) > 0 {
		next.look(changedPods(prev, next))
	}
	return next
}

// of finds the objects of a cluster; nil when it is not there.
func (w *Wanted) of(cluster model.Cluster) *Objects {
	for _, c := range w.clusters {
		if c.Cluster == cluster {
			return c
		}
	}
	return nil
}

func (o *Objects) tables() table[*namespace] {
	if o == nil {
		return table[*namespace]{}
	}
	return o.namespaces
}

func gatewaysDiffer(was, is *Objects) (differ bool) {
	changes(was.tables(), is.tables(), func(_ string, was, is *namespace) {
		differ = differ || was.kind(KindGateway) != is.kind(KindGateway)
	})
	return differ
}

// namingSecrets gives the Gateways that end TLS anywhere.
func namingSecrets(own *Objects) []*model.Gateway {
	if own == nil {
		return nil
	}
	var gateways []*model.Gateway
	for object := range own.All(KindGateway) {
		g := object.(*Gateway).Model
		if slices.ContainsFunc(g.Servers, func(s model.GatewayServer) bool { return s.TLS.EndsTLS() }) {
			gateways = append(gateways, g)
		}
	}
	sortByAge(gateways, func(g *model.Gateway) (time.Time, string) { return g.Created, g.Namespace + "/" + g.Name })
	return gateways
}

// changedPods names the namespaces whose pods differ in any cluster.
func changedPods(prev, next *Wanted) map[string]*namespace {
	changed := map[string]*namespace{}
	differ := func(name string, was, is *namespace) {
		if was.kind(KindPod) != is.kind(KindPod) {
			changed[name] = is
		}
	}
	for _, c := range next.clusters {
		changes(prev.of(c.Cluster).tables(), c.namespaces, differ)
	}
	for _, c := range prev.clusters {
		if next.of(c.Cluster) == nil {
			changes(c.namespaces, table[*namespace]{}, differ)
		}
	}
	return changed
}

// look finds out which Gateways select pods in the namespaces.
func (w *Wanted) look(names map[string]*namespace) {
	namespaces := patch[string, []*model.Gateway]{now: w.namespaces}
	for name := range names {
		var selecting []*model.Gateway
		for _, g := range w.gateways {
			if w.selectsIn(g, name) {
				selecting = append(selecting, g)
			}
		}
		if len(selecting) == 0 {
			namespaces.delete(name)
		} else if !slices.Equal(namespaces.now[name], selecting) {
			namespaces.set(name, selecting)
		}
	}
	w.namespaces = namespaces.now
}

func (w *Wanted) selectsIn(g *model.Gateway, namespace string) bool {
	for _, c := range w.clusters {
		for _, object := range c.namespace(namespace).kind(KindPod).all() {
			if selects(g.Selector, object.(*Pod).Labels) {
				return true
			}
		}
	}
	return false
}

func selects(selector, labels map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return true
}

// Secrets gives the names of the Secrets that are wanted, sorted, by namespace.
func (w *Wanted) Secrets() map[string][]string {
	secrets := make(map[string][]string, len(w.namespaces))
	for namespace, gateways := range w.namespaces {
		var names []string
		for _, g := range gateways {
			for _, s := range g.Servers {
				if s.TLS.EndsTLS() {
					names = append(names, s.CredentialName)
				}
				if s.TLS == model.Mutual {
					names = append(names, s.CredentialName+rootsSuffix)
				}
			}
		}
		slices.Sort(names)
		secrets[namespace] = slices.Compact(names)
	}
	return secrets
}

// problems says which servers lack their certificate.
func (w *Wanted) problems() []model.Problem {
	own := w.of(w.own)
	var problems []model.Problem
	for namespace, gateways := range w.namespaces {
		for _, g := range gateways {
			ref := model.Ref{Cluster: w.own, Kind: "Gateway", Namespace: g.Namespace, Name: g.Name}
			for _, s := range g.Servers {
				if !s.TLS.EndsTLS() {
					continue
				}
				for _, text := range serverTrouble(own, namespace, s) {
					problems = append(problems, model.Problem{Object: ref, Text: text})
				}
			}
		}
	}
	slices.SortFunc(problems, compareProblems)
	return slices.Compact(problems)
}
