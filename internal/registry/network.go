package registry

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/api/label"
	"github.com/isthmus-mesh/isthmus/internal/model"
)

// kubernetesRegistry is what meshNetworks may call the own cluster, beside its name.
const kubernetesRegistry = "Kubernetes"

// clusterNetwork is what decides the network of a cluster's endpoints, strongest first. It is comparable.
type clusterNetwork struct {
	label     model.Network // of the cluster's system namespace
	registry  model.Network // of meshNetworks by the cluster's name
	installed model.Network // that of the installation, for the own cluster
}

func clusterNetworkOf(o *Objects, mesh *model.Mesh) clusterNetwork {
	n := clusterNetwork{label: o.network(mesh.RootNamespace)}
	if o.Cluster == mesh.Cluster {
		n.installed = mesh.Network
	}
	for _, setting := range mesh.Networks {
		if hasRegistry(setting, o.Cluster, mesh) {
			n.registry = setting.Network
			break
		}
	}
	return n
}

func hasRegistry(setting model.NetworkSetting, c model.Cluster, mesh *model.Mesh) bool {
	return slices.Contains(setting.Registries, c) || c == mesh.Cluster && slices.Contains(setting.Registries, kubernetesRegistry)
}

// networkOf decides the network of an endpoint. Pod is nil for one that is no pod.
func (b *builder) networkOf(c *cluster, pod *Pod, address netip.Addr) model.Network {
	if pod != nil {
		if n := pod.Labels[label.Network]; n != "" {
			return model.Network(n)
		}
	}
	return cmp.Or(c.network.label, c.network.registry, b.networkByCIDR(address), c.network.installed)
}

// networkByCIDR finds the network with the longest prefix that holds an address.
func (b *builder) networkByCIDR(address netip.Addr) (found model.Network) {
	longest := -1
	for _, setting := range b.mesh.Networks {
		for _, cidr := range setting.CIDRs {
			if cidr.Bits() > longest && cidr.Contains(address) {
				longest, found = cidr.Bits(), setting.Network
			}
		}
	}
	return found
}

// networkService is a Service that says it is a gateway of a network.
type networkService struct {
	cluster model.Cluster
	*Service
}

func (s networkService) equal(o networkService) bool { return s == o }

// networkServices gives entries with those of one service name replaced by what its definitions now say.
func (b *builder) networkServices(entries []networkService, namespace, name string) []networkService {
	same := func(s networkService) bool { return s.Name == name }
	next := entries
	if slices.ContainsFunc(entries, same) {
		next = slices.DeleteFunc(slices.Clone(entries), same)
	}
	next = slices.Clip(next)
	for _, c := range b.clusters {
		if s := c.Objects.namespace(namespace).service(name); s != nil && s.Gateway != "" {
			next = append(next, networkService{c.Objects.Cluster, s})
		}
	}
	return next
}

// networkGateways gives the gateways of all networks, and says which of those that are asked for have no address or port.
func (b *builder) networkGateways(namespaces map[string]*built) (gateways []model.NetworkGateway, problems []model.Problem) {
	for _, ns := range namespaces {
		for _, s := range ns.entries {
			ref := model.Ref{Cluster: s.cluster, Kind: "Service", Namespace: s.Namespace, Name: s.Name}
			if text := s.cannotEnter(); text != "" {
				problems = append(problems, model.Problem{Object: ref, Text: text})
				continue
			}
			for _, address := range s.Outside {
				gateways = append(gateways, model.NetworkGateway{Network: s.Gateway, Cluster: s.cluster, Address: address, Port: s.GatewayPort})
			}
		}
	}
	for _, setting := range b.mesh.Networks {
		configured, wrong := b.configuredGateways(setting)
		gateways = append(gateways, configured...)
		problems = append(problems, wrong...)
	}
	slices.SortFunc(gateways, func(x, y model.NetworkGateway) int {
		return cmp.Or(
			cmp.Compare(x.Network, y.Network), cmp.Compare(x.Cluster, y.Cluster),
			strings.Compare(x.Address, y.Address), cmp.Compare(x.Port, y.Port),
		)
	})
	return slices.Compact(gateways), problems
}

// cannotEnter says why a Service that claims to be a gateway of a network is none, or nothing.
func (s *Service) cannotEnter() string {
	if _, ok := s.port(s.GatewayPort); !ok {
		return fmt.Sprintf("is labelled as gateway of network %s but has no port %d: add it, or name another with label %s",
			s.Gateway, s.GatewayPort, label.GatewayPort)
	}
	if len(s.Outside) == 0 {
		return fmt.Sprintf("is labelled as gateway of network %s but has no address outside its cluster yet: "+
			"give it a load balancer or external IPs", s.Gateway)
	}
	return ""
}

// configuredGateways gives the gateways that meshNetworks names for a network.
func (b *builder) configuredGateways(setting model.NetworkSetting) (gateways []model.NetworkGateway, problems []model.Problem) {
	ref := model.Ref{Kind: "meshNetworks", Name: string(setting.Network)}
	for _, r := range setting.Registries {
		if r != kubernetesRegistry && !slices.ContainsFunc(b.clusters, func(c *cluster) bool { return c.Objects.Cluster == r }) {
			problems = append(problems, model.Problem{Object: ref, Text: fmt.Sprintf(
				"fromRegistry %s is no cluster that is known here: it counts once its remote Secret is there", r)})
		}
	}
	for _, g := range setting.Gateways {
		if g.Address != "" {
			gateways = append(gateways, model.NetworkGateway{Network: setting.Network, Address: g.Address, Port: g.Port})
			continue
		}
		name, rest, _ := strings.Cut(string(g.Service), ".")
		namespace, _, _ := strings.Cut(rest, ".")
		found := len(gateways)
		for _, c := range b.clusters {
			if c.Objects.Cluster == "" || !hasRegistry(setting, c.Objects.Cluster, b.mesh) {
				continue
			}
			if s := c.Objects.namespace(namespace).service(name); s != nil {
				for _, address := range s.Outside {
					gateways = append(gateways, model.NetworkGateway{Network: setting.Network, Cluster: c.Objects.Cluster, Address: address, Port: g.Port})
				}
			}
		}
		if len(gateways) == found {
			problems = append(problems, model.Problem{Object: ref, Text: fmt.Sprintf(
				"gateway %s has no address outside the clusters of this network: it needs a load balancer or external IPs there", g.Service)})
		}
	}
	return gateways, problems
}
