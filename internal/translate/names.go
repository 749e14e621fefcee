package translate

import (
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/nds"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// nameTable is the name of the one resource that holds all names.
const nameTable = "names"

// names are what the agent's DNS answers: every service of the mesh, wherever it runs. The table is one resource.
func names(prev *Set, s *model.Snapshot, c view.Class) *Set {
	b := newSetBuilder(prev)
	b.shard("", nil, func(sb *shardBuilder) {
		source := namesOf(s)
		sb.put(nameTable, source, func() *Resource {
			return encode(nameTable, nds.TypeURL, table(source, c).Marshal(), source)
		})
	})
	return b.done()
}

// nameSource is what the table is made from: all services, and the endpoints of those that have no virtual address.
type nameSource []namedService

type namedService struct {
	service  *model.Service
	backends *model.Backends // of headless services
}

// Equal compares services and endpoints by identity.
func (n nameSource) Equal(other any) bool {
	o, ok := other.(nameSource)
	return ok && slices.Equal(n, o)
}

func namesOf(s *model.Snapshot) nameSource {
	var source nameSource
	for _, ns := range s.Namespaces {
		for h, svc := range ns.Services {
			n := namedService{service: svc}
			if svc.Headless {
				n.backends = ns.Backends[h]
			}
			source = append(source, n)
		}
	}
	slices.SortFunc(source, func(a, b namedService) int {
		if a.service.Hostname < b.service.Hostname {
			return -1
		}
		return 1
	})
	return source
}

func table(source nameSource, c view.Class) nds.Table {
	t := make(nds.Table, len(source))
	for _, n := range source {
		svc := n.service
		info := nds.Info{Registry: nds.Kubernetes, ShortName: svc.Name, Namespace: svc.Namespace}
		addresses := svc.AddressesIn(c.Cluster)
		if svc.Headless {
			addresses = view.AddressesOf(n.backends, c)
		}
		if len(addresses) == 0 {
			continue
		}
		for _, a := range addresses {
			info.IPs = append(info.IPs, a.String())
		}
		t[string(svc.Hostname)] = info
		if n.backends == nil {
			continue
		}
		for pod, addresses := range n.backends.Pods {
			podInfo := nds.Info{Registry: nds.Kubernetes, ShortName: pod + "." + svc.Name, Namespace: svc.Namespace}
			for _, a := range addresses {
				podInfo.IPs = append(podInfo.IPs, a.String())
			}
			t[pod+"."+string(svc.Hostname)] = podInfo
		}
	}
	return t
}
