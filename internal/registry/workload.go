package registry

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// makeWorkloads makes the pods of the edit as their own proxies know them.
func (b *builder) makeWorkloads(e *edit, out *model.Namespace) (changed bool) {
	if len(e.pods) == 0 {
		return false
	}
	served := b.servedBy(e)
	workloads := patch[model.WorkloadKey, *model.Workload]{now: out.Workloads}
	for key := range e.pods {
		// A cluster that has left has no name here any more, but its previous objects have.
		name := model.WorkloadKey{Cluster: key.cluster.Objects.Cluster, Name: key.name}
		if name.Cluster == "" {
			name.Cluster = key.cluster.was.Cluster
		}
		pod := key.cluster.Objects.namespace(e.name).pod(key.name)
		if pod == nil {
			workloads.delete(name)
			continue
		}
		w := b.workload(key.cluster, pod, served[key], out.Services)
		if was := out.Workloads[name]; was == nil || !reflect.DeepEqual(was, w) {
			workloads.set(name, w)
		}
	}
	out.Workloads = workloads.now
	return workloads.changed
}

// servedBy finds the slices that name the pods of the edit.
func (b *builder) servedBy(e *edit) map[podKey][]*Slice {
	served := make(map[podKey][]*Slice, len(e.pods))
	for _, c := range b.clusters {
		for s := range c.Objects.namespace(e.name).slices() {
			for i := range s.Endpoints {
				key := podKey{c, s.Endpoints[i].Pod}
				if key.name != "" && e.pods[key] {
					served[key] = append(served[key], s)
				}
			}
		}
	}
	return served
}

// workload describes a pod to its own proxy. It serves the ports of the services of its own cluster, ready or not: it has
// to be reachable to become ready.
func (b *builder) workload(c *cluster, pod *Pod, served []*Slice, services map[model.Hostname]*model.Service) *model.Workload {
	w := &model.Workload{
		Cluster:   c.Objects.Cluster,
		Namespace: pod.Namespace, Name: pod.Name,
		ServiceAccount: pod.ServiceAccount,
		Node:           pod.Node,
		Locality:       pod.locality(c.Objects),
		Addresses:      pod.Addresses,
		Labels:         pod.Labels,
	}
	var first netip.Addr
	if len(pod.Addresses) > 0 {
		first = pod.Addresses[0]
	}
	w.Network = b.networkOf(c, pod, first)
	for _, s := range served {
		service := c.Objects.namespace(s.Namespace).service(s.Service)
		if service == nil {
			continue
		}
		host := b.hostname(s.Namespace, s.Service)
		merged := services[host]
		for _, target := range s.Ports {
			number, ok := service.numberOf(target.Name)
			if !ok {
				continue
			}
			own, _ := service.port(number)
			port := model.Port(own)
			if merged != nil {
				// Clients go by the merged service, so the server has to.
				if agreed, ok := merged.Port(number); ok {
					port = agreed
				}
			}
			w.Inbound = append(w.Inbound, model.Inbound{TargetPort: target.Number, ServicePort: port, Service: host})
		}
	}
	slices.SortFunc(w.Inbound, func(x, y model.Inbound) int {
		return cmp.Or(cmp.Compare(x.TargetPort, y.TargetPort), cmp.Compare(x.Service, y.Service), cmp.Compare(x.ServicePort.Number, y.ServicePort.Number))
	})
	w.Inbound = slices.Compact(w.Inbound)
	return w
}
