package view

import (
	"slices"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// gatewaysText names the Gateways that select a proxy by its labels, as one canonical text.
func gatewaysText(s *model.Snapshot, labels map[string]string) string {
	var names []string
	for _, ns := range s.Namespaces {
		for _, gw := range ns.Gateways {
			if selects(gw.Selector, labels) {
				names = append(names, gw.Namespace+"/"+gw.Name)
			}
		}
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

// selects says whether all labels of a selector are there. An empty selector selects every gateway, as in Istio.
func selects(selector, labels map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return true
}

// GatewaysOf finds the Gateways that a class names, oldest first.
func GatewaysOf(s *model.Snapshot, c Class) []*model.Gateway {
	var found []*model.Gateway
	for name := range strings.SplitSeq(c.Labels, ",") {
		namespace, name, _ := strings.Cut(name, "/")
		ns := s.Namespaces[namespace]
		if ns == nil {
			continue
		}
		for _, gw := range ns.Gateways {
			if gw.Name == name {
				found = append(found, gw)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b *model.Gateway) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	return found
}

// Port is a port that a gateway binds, with the servers on it: those of the oldest Gateway first.
type Port struct {
	Bind    uint16 // in the pod
	Number  uint16 // as the first server names it; others may name the same port by another number
	Servers []BoundServer
}

// BoundServer is a server with the Gateway that it is of.
type BoundServer struct {
	Gateway *model.Gateway
	Server  model.GatewayServer
}

// GatewayPorts collects what a class of gateways binds. A Service may give one port of the pod several numbers, so it is the port
// of the pod that servers meet on: two listeners cannot bind it. Servers of one port that differ in whether they speak TLS cannot
// share it: the oldest decides, and the others are left out.
func GatewayPorts(s *model.Snapshot, c Class) []Port {
	var ports []Port
	for _, gw := range GatewaysOf(s, c) {
		for _, server := range gw.Servers {
			bind := targetPort(c.Workload, server.Port.Number)
			i := slices.IndexFunc(ports, func(p Port) bool { return p.Bind == bind })
			if i < 0 {
				ports = append(ports, Port{Number: server.Port.Number, Bind: bind})
				i = len(ports) - 1
			}
			if first := ports[i].Servers; len(first) > 0 && (first[0].Server.TLS == model.NoTLS) != (server.TLS == model.NoTLS) {
				continue
			}
			ports[i].Servers = append(ports[i].Servers, BoundServer{gw, server})
		}
	}
	slices.SortFunc(ports, func(a, b Port) int { return int(a.Number) - int(b.Number) })
	return ports
}

// PassesBySNI says whether any server of the class passes mutual TLS through to services by server name.
func PassesBySNI(s *model.Snapshot, c Class) []string {
	var hosts []string
	for _, gw := range GatewaysOf(s, c) {
		for _, server := range gw.Servers {
			if server.TLS == model.AutoPassthrough {
				hosts = append(hosts, server.Hosts...)
			}
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// HostMatches says whether a host name is one of the given hosts, each a name, * or *.suffix.
func HostMatches(hosts []string, name model.Hostname) bool {
	for _, h := range hosts {
		if h == "*" || h == string(name) {
			return true
		}
		if suffix, ok := strings.CutPrefix(h, "*"); ok && strings.HasSuffix(string(name), suffix) {
			return true
		}
	}
	return false
}
