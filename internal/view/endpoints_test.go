package view

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

var gateways = &model.NetworkGateways{Items: []model.NetworkGateway{
	{Network: "n2", Cluster: "c2", Address: "172.16.2.1", Port: 15443},
	{Network: "n2", Cluster: "c2", Address: "172.16.2.2", Port: 15443},
	{Network: "n3", Cluster: "c3", Address: "gateway.example.com", Port: 15443},
}}

func at(address string, c model.Cluster, n model.Network) model.Endpoint {
	return model.Endpoint{
		Address: netip.MustParseAddr(address), Port: 5000, Cluster: c, Network: n, MTLS: true,
		Locality: model.Locality{Region: "region-" + string(c)},
	}
}

func plain(ep model.Endpoint) model.Endpoint   { ep.MTLS = false; return ep }
func leaving(ep model.Endpoint) model.Endpoint { ep.Draining = true; return ep }

func TestEndpointsOf(t *testing.T) {
	t.Parallel()
	sidecar := Class{Part: Endpoints, Cluster: "c1", Network: "n1"}
	gateway := Class{Part: SNIEndpoints, Cluster: "c1", Network: "n1", RequestedView: "n1"}
	cases := []struct {
		name         string
		class        Class
		clusterLocal bool
		endpoints    []model.Endpoint
		want         []string // region address:port weight
		unreachable  map[Reason]int
	}{
		{
			name: "own network directly, whichever the cluster", class: sidecar,
			endpoints: []model.Endpoint{at("10.1.0.1", "c1", "n1"), at("10.2.0.1", "c2", "n1")},
			want:      []string{"region-c1 10.1.0.1:5000 1", "region-c2 10.2.0.1:5000 1"},
		},
		{
			name: "other networks through their gateways, weights in proportion", class: sidecar,
			endpoints: []model.Endpoint{
				at("10.1.0.1", "c1", "n1"), at("10.2.0.1", "c2", "n2"), at("10.2.0.2", "c2", "n2"), at("10.2.0.3", "c2", "n2"),
			},
			want: []string{"region-c1 10.1.0.1:5000 2", "region-c2 172.16.2.1:15443 3", "region-c2 172.16.2.2:15443 3"},
		},
		{
			name: "no gateway, no endpoint", class: sidecar,
			endpoints:   []model.Endpoint{at("10.4.0.1", "c4", "n4")},
			unreachable: map[Reason]int{NoGateway: 1},
		},
		{
			name: "a gateway known by a host name only is none yet", class: sidecar,
			endpoints:   []model.Endpoint{at("10.3.0.1", "c3", "n3")},
			unreachable: map[Reason]int{NoGateway: 1},
		},
		{
			name: "plain text does not cross networks", class: sidecar,
			endpoints:   []model.Endpoint{plain(at("10.2.0.1", "c2", "n2")), plain(at("10.1.0.1", "c1", "n1"))},
			want:        []string{"region-c1 10.1.0.1:5000 1"},
			unreachable: map[Reason]int{PlainText: 1},
		},
		{
			name: "an unknown network is everyone's", class: sidecar,
			endpoints: []model.Endpoint{at("10.9.0.1", "c9", "")},
			want:      []string{"region-c9 10.9.0.1:5000 1"},
		},
		{
			name: "a local service stays in its cluster", class: sidecar, clusterLocal: true,
			endpoints:   []model.Endpoint{at("10.1.0.1", "c1", "n1"), at("10.2.0.1", "c2", "n1")},
			want:        []string{"region-c1 10.1.0.1:5000 1"},
			unreachable: map[Reason]int{OtherCluster: 1},
		},
		{
			name: "terminating endpoints only when there are no others", class: sidecar,
			endpoints: []model.Endpoint{leaving(at("10.1.0.1", "c1", "n1")), at("10.1.0.2", "c1", "n1")},
			want:      []string{"region-c1 10.1.0.2:5000 1"},
		},
		{
			name: "all terminating", class: sidecar,
			endpoints: []model.Endpoint{leaving(at("10.1.0.1", "c1", "n1"))},
			want:      []string{"region-c1 10.1.0.1:5000 1"},
		},
		{
			name: "a gateway serves its own network only, and mutual TLS only", class: gateway,
			endpoints: []model.Endpoint{
				at("10.1.0.1", "c1", "n1"), plain(at("10.1.0.2", "c1", "n1")), at("10.2.0.1", "c2", "n2"), at("10.5.0.1", "c5", "n1"),
			},
			want:        []string{"region-c1 10.1.0.1:5000 1", "region-c5 10.5.0.1:5000 1"},
			unreachable: map[Reason]int{PlainText: 1, NotRequested: 1},
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			reach := EndpointsOf(&model.Endpoints{Items: tc.endpoints}, tc.clusterLocal, gateways, tc.class)
			var got []string
			for _, g := range reach.Groups {
				for _, h := range g.Hops {
					got = append(got, fmt.Sprintf("%s %s:%d %d", g.Locality, h.Address, h.Port, h.Weight))
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("hops (-want +got):\n%s", diff)
			}
			want := tc.unreachable
			if want == nil {
				want = map[Reason]int{}
			}
			if diff := cmp.Diff(want, reach.Unreachable); diff != "" {
				t.Errorf("unreachable (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInboundTextSurvivesReading(t *testing.T) {
	t.Parallel()
	w := &model.Workload{Inbound: []model.Inbound{
		{TargetPort: 5000, ServicePort: model.Port{Number: 80, Protocol: model.HTTP}, Service: "a.ns.svc.cluster.local"},
		{TargetPort: 5000, ServicePort: model.Port{Number: 81, Protocol: model.TCP}, Service: "b.ns.svc.cluster.local"},
		{TargetPort: 6000, ServicePort: model.Port{Number: 6000, Protocol: model.Auto}, Service: "a.ns.svc.cluster.local"},
	}}
	want := []InboundPort{
		{5000, model.HTTP, 80, "a.ns.svc.cluster.local"},
		{6000, model.Auto, 6000, "a.ns.svc.cluster.local"},
	}
	if diff := cmp.Diff(want, InboundPorts(InboundText(w))); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
}
