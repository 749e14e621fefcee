package registry

import (
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// podKey names a pod inside the namespace that is being made.
type podKey struct {
	cluster *cluster
	name    string
}

// edit is what has to be made again in one namespace.
type edit struct {
	name     string
	services map[string]bool
	pods     map[podKey]bool
	gateways bool
	secrets  bool
	was      *built // never nil

	slices map[sliceKey][]*Slice // of the services
}

type sliceKey struct {
	cluster *cluster
	service string
}

// namespace makes a namespace again where it changed. It gives was when nothing did, and nil when nothing remains.
func (b *builder) namespace(name string, was *built) *built {
	e := &edit{name: name, services: make(map[string]bool), pods: make(map[podKey]bool), was: was}
	if was == nil {
		e.was = &built{}
	}
	for _, c := range b.clusters {
		b.collect(e, c)
	}
	e.collectSlices(b.clusters)

	next := *e.was
	out := model.Namespace{Name: name}
	if next.out != nil {
		out = *next.out
	}
	changed := b.makeServices(e, &next, &out)
	changed = b.makeWorkloads(e, &out) || changed
	changed = b.makeGateways(e, &next, &out) || changed
	changed = b.makeCredentials(e, &out) || changed
	if changed {
		next.out = &out
		if len(out.Services) == 0 && len(out.Workloads) == 0 && len(out.Gateways) == 0 && len(out.Credentials) == 0 {
			next.out = nil
		}
	}
	switch {
	case next.out == nil && len(next.services) == 0 && len(next.gateways) == 0 && len(next.entries) == 0:
		return nil
	case was != nil && !changed && next.sameNotes(was):
		return was
	}
	return &next
}

func (b *built) sameNotes(o *built) bool {
	same := len(b.services) == len(o.services) && slices.Equal(b.gateways, o.gateways) &&
		slices.EqualFunc(b.entries, o.entries, networkService.equal)
	for name, problems := range b.services {
		same = same && slices.Equal(problems, o.services[name])
	}
	return same
}

// collect finds what a cluster's changes touch.
func (b *builder) collect(e *edit, c *cluster) {
	was, is := c.was.namespace(e.name), c.Objects.namespace(e.name)
	changedPods := make(map[string]bool)
	touch := func(_ string, was, is Object) {
		for _, object := range [2]Object{was, is} {
			switch o := object.(type) {
			case nil:
			case *Service:
				e.services[o.Name] = true
			case *Slice:
				e.services[o.Service] = true
				e.touchPods(c, o)
			case *Pod:
				changedPods[o.Name] = true
			case *Gateway:
				e.gateways = true
			case *Credential:
				e.secrets = true
			}
		}
	}
	for _, kind := range []Kind{KindService, KindSlice, KindPod, KindGateway, KindCredential} {
		if c.all {
			changes(table[Object]{}, was.kind(kind), touch)
			changes(table[Object]{}, is.kind(kind), touch)
		} else {
			changes(was.kind(kind), is.kind(kind), touch)
		}
	}
	if len(c.nodes) > 0 {
		for _, object := range is.kind(KindPod).all() {
			if p := object.(*Pod); c.nodes[p.Node] {
				changedPods[p.Name] = true
			}
		}
	}
	for name := range changedPods {
		e.pods[podKey{c, name}] = true
	}
	if len(changedPods) == 0 && len(c.nodes) == 0 {
		return
	}
	for s := range is.slices() {
		if !e.services[s.Service] && slices.ContainsFunc(s.Endpoints, func(ep SliceEndpoint) bool {
			return changedPods[ep.Pod] || c.nodes[ep.Node]
		}) {
			e.services[s.Service] = true
		}
	}
}

func (e *edit) touchPods(c *cluster, s *Slice) {
	for i := range s.Endpoints {
		if name := s.Endpoints[i].Pod; name != "" {
			e.pods[podKey{c, name}] = true
		}
	}
}

// collectSlices finds the slices of the services that are made again. Their pods are made again too, as they learn their
// inbound ports from them.
func (e *edit) collectSlices(clusters []*cluster) {
	e.slices = make(map[sliceKey][]*Slice)
	if len(e.services) == 0 {
		return
	}
	for _, c := range clusters {
		for s := range c.Objects.namespace(e.name).slices() {
			if e.services[s.Service] {
				key := sliceKey{c, s.Service}
				e.slices[key] = append(e.slices[key], s)
				e.touchPods(c, s)
			}
		}
	}
}

// makeServices makes services and their backends.
func (b *builder) makeServices(e *edit, next *built, out *model.Namespace) (changed bool) {
	services := patch[model.Hostname, *model.Service]{now: out.Services}
	backends := patch[model.Hostname, *model.Backends]{now: out.Backends}
	problems := patch[string, []model.Problem]{now: next.services}
	for name := range e.services {
		host := b.hostname(e.name, name)
		service, behind, wrong := b.service(e, name, out.Services[host], out.Backends[host])
		if service == nil {
			services.delete(host)
			backends.delete(host)
		}
		if service != nil && service != out.Services[host] {
			services.set(host, service)
		}
		if service != nil && behind != out.Backends[host] {
			backends.set(host, behind)
		}
		if len(wrong) == 0 {
			problems.delete(name)
		} else {
			problems.set(name, wrong)
		}
		next.entries = b.networkServices(next.entries, e.name, name)
	}
	out.Services, out.Backends, next.services = services.now, backends.now, problems.now
	return services.changed || backends.changed
}

// makeGateways makes the Gateways of the own cluster, which alone holds configuration.
func (b *builder) makeGateways(e *edit, next *built, out *model.Namespace) (changed bool) {
	if !e.gateways {
		return false
	}
	var gateways []*model.Gateway
	next.gateways = nil
	for _, c := range b.clusters {
		if c.Objects.Cluster == b.mesh.Cluster {
			gateways, next.gateways = gatewaysOf(c.Objects.Cluster, c.Objects.namespace(e.name))
		}
	}
	changed = !slices.Equal(gateways, out.Gateways)
	out.Gateways = gateways
	return changed
}

func (b *builder) hostname(namespace, name string) model.Hostname {
	return model.Hostname(name + "." + namespace + ".svc." + b.mesh.Domain)
}
