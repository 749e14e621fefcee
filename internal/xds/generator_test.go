package xds

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/translate"
)

// shop is a snapshot of services in namespaces of fifty, one HTTP port and five endpoints each.
func shop(services int) *model.Snapshot {
	s := &model.Snapshot{
		Revision:   1,
		Mesh:       &model.Mesh{TrustDomain: "cluster.local", Domain: "cluster.local", AutoMTLS: true, ConnectTimeout: 10 * time.Second, Cluster: "cluster1"},
		Namespaces: map[string]*model.Namespace{},
		Gateways:   &model.NetworkGateways{},
	}
	for i := range services {
		name := fmt.Sprintf("ns%02d", i/50)
		ns := s.Namespaces[name]
		if ns == nil {
			ns = &model.Namespace{Name: name, Services: map[model.Hostname]*model.Service{}, Backends: map[model.Hostname]*model.Backends{}}
			s.Namespaces[name] = ns
		}
		h := shopHost(i)
		high, low := byte(i>>8), byte(i)
		ns.Services[h] = &model.Service{
			Hostname: h, Namespace: name, Name: fmt.Sprintf("s%d", i),
			Ports:     []model.Port{{Name: "http", Number: 80, Protocol: model.HTTP}},
			Addresses: []model.Addresses{{Cluster: "cluster1", Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, high, low})}}},
		}
		ns.Backends[h] = shopBackends(high, low, 1)
	}
	return s
}

func shopHost(i int) model.Hostname {
	return model.Hostname(fmt.Sprintf("s%d.ns%02d.svc.cluster.local", i, i/50))
}

func shopBackends(high, low, first byte) *model.Backends {
	eps := &model.Endpoints{}
	for n := range byte(5) {
		eps.Items = append(eps.Items, model.Endpoint{
			Address: netip.AddrFrom4([4]byte{10 + n, high, low, first + n}), Port: 8080, Cluster: "cluster1", Network: "network1", MTLS: true,
		})
	}
	return &model.Backends{
		Ports: map[uint16]*model.Endpoints{80: eps}, Identities: &model.Identities{URIs: []string{"spiffe://cluster.local/ns/a/sa/b"}},
	}
}

// replaced is s with another endpoint of one service; the rest is shared.
func replaced(s *model.Snapshot, service int, first byte) *model.Snapshot {
	next := *s
	next.Revision++
	next.Namespaces = maps.Clone(s.Namespaces)
	name, h := fmt.Sprintf("ns%02d", service/50), shopHost(service)
	ns := *s.Namespaces[name]
	ns.Backends = maps.Clone(ns.Backends)
	b := *ns.Backends[h]
	b.Ports = shopBackends(0, 7, first).Ports
	ns.Backends[h] = &b
	next.Namespaces[name] = &ns
	return &next
}

// configure takes a client through a proxy's first requests, and gives how many resources came of each type.
func (c *deltaClient) configure() map[string]int {
	c.t.Helper()
	got := map[string]int{}
	ask := func(typeURL string, names []string) *discoveryv3.DeltaDiscoveryResponse {
		c.subscribe(typeURL, names...)
		r := c.recv()
		got[short(r.GetTypeUrl())] += len(r.GetResources())
		c.ack(r)
		return r
	}
	var eds []string
	for _, r := range ask(typeCluster, nil).GetResources() {
		eds = append(eds, r.GetName())
	}
	ask(typeEndpoint, eds)
	ask(typeListener, nil)
	ask(typeRoute, []string{"80"})
	ask(typeNames, nil)
	return got
}

func TestOneEndpointOfARealMesh(t *testing.T) {
	t.Parallel()
	m := newMesh(t, Options{})
	m.store.gen = translate.Generator{}
	m.opts.Generator = translate.Generator{}
	s := shop(1000)
	m.Publish(s)
	var clients []*deltaClient
	for i := range 10 {
		c := m.delta(fmt.Sprint("p", i))
		got := c.configure()
		if got["eds"] != 1000 || got["cds"] < 1000 || got["lds"] == 0 || got["rds"] != 1 || got["nds"] != 1 {
			t.Fatalf("resources are %v", got)
		}
		clients = append(clients, c)
	}
	before := m.Stats().Types
	m.Publish(replaced(s, 333, 77))
	for _, c := range clients {
		r := c.want(typeEndpoint, []string{"outbound|80||" + string(shopHost(333))}, nil)
		c.ack(r)
	}
	after := m.Stats().Types
	for typ := range after {
		want := uint64(0)
		if typ == "eds" {
			want = 1
		}
		if got := after[typ].ResourcesBuilt - before[typ].ResourcesBuilt; got != want {
			t.Errorf("%s: %d resources built, want %d", typ, got, want)
		}
	}
}
