package registry

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// definition is a service as one cluster defines it.
type definition struct {
	*Service
	in *cluster
}

// service makes a service and what is behind it from all its definitions. What is equal to what was there keeps its
// pointer. It gives nil when no cluster defines the service.
func (b *builder) service(e *edit, name string, was *model.Service, behind *model.Backends) (*model.Service, *model.Backends, []model.Problem) {
	defined, problems := b.definitions(e.name, name)
	if len(defined) == 0 {
		return nil, nil, problems
	}
	oldest := defined[0]
	service := &model.Service{
		Hostname:  b.hostname(e.name, name),
		Namespace: e.name, Name: name,
		Headless: oldest.Type == Headless,
		Created:  oldest.Created,
	}
	service.ClusterLocal = b.clusterLocal(service.Hostname)
	for _, p := range oldest.Ports {
		service.Ports = append(service.Ports, model.Port(p))
	}
	for _, d := range defined {
		service.Addresses = append(service.Addresses, model.Addresses{Cluster: d.in.Objects.Cluster, Addresses: d.Addresses})
	}
	if was != nil && reflect.DeepEqual(was, service) {
		service = was
	}
	return service, b.backends(e, service, defined, behind), problems
}

// definitions gives those that make the service, oldest first, and where the others differ from the oldest. A name that
// only points elsewhere (ExternalName) makes none.
func (b *builder) definitions(namespace, name string) (defined []definition, problems []model.Problem) {
	var pointers []definition
	for _, c := range b.clusters {
		s := c.Objects.namespace(namespace).service(name)
		switch {
		case s == nil:
		case s.Type == ExternalName:
			pointers = append(pointers, definition{s, c})
		default:
			defined = append(defined, definition{s, c})
		}
	}
	if len(defined) == 0 {
		return nil, nil
	}
	sortByAge(defined, func(d definition) (time.Time, string) { return d.Created, string(d.in.Objects.Cluster) })
	oldest := defined[0]
	for _, d := range pointers {
		problems = append(problems, d.problem("is an ExternalName here and a %s in cluster %s: the mesh serves the latter under this name",
			oldest.Type, oldest.in.Objects.Cluster))
	}
	for _, d := range defined[1:] {
		problems = append(problems, differences(oldest, d)...)
	}
	return defined, problems
}

func (d definition) problem(format string, args ...any) model.Problem {
	return model.Problem{
		Object: model.Ref{Cluster: d.in.Objects.Cluster, Kind: "Service", Namespace: d.Namespace, Name: d.Name},
		Text:   fmt.Sprintf(format, args...),
	}
}

// differences says where a definition differs from the oldest one, in what only one of them can decide.
func differences(oldest, d definition) (problems []model.Problem) {
	first := oldest.in.Objects.Cluster
	if d.Type != oldest.Type {
		problems = append(problems, d.problem("is %s here and %s in cluster %s, which is older and decides: make them alike",
			d.Type, oldest.Type, first))
	}
	for _, p := range d.Ports {
		other, ok := oldest.port(p.Number)
		switch {
		case !ok:
			problems = append(problems, d.problem("port %d is not in the older definition in cluster %s, so nothing reaches it: add it there",
				p.Number, first))
		case other.Protocol != p.Protocol:
			problems = append(problems, d.problem("port %d is %s here and %s in cluster %s, which is older and decides: make them alike",
				p.Number, p.Protocol, other.Protocol, first))
		}
	}
	for _, p := range oldest.Ports {
		if _, ok := d.port(p.Number); !ok {
			problems = append(problems, d.problem("port %d of the older definition in cluster %s is missing here, so it gets no endpoints of this cluster",
				p.Number, first))
		}
	}
	return problems
}

func (s *Service) port(number uint16) (ServicePort, bool) {
	i := slices.IndexFunc(s.Ports, func(p ServicePort) bool { return p.Number == number })
	if i < 0 {
		return ServicePort{}, false
	}
	return s.Ports[i], true
}
