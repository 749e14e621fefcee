package translate

import (
	"net/netip"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// claim adds a service of a cluster that is bound to an address.
func claim(s *model.Snapshot, namespace, name string, c model.Cluster, address string, headless bool) {
	h := model.Hostname(name + "." + namespace + ".svc.cluster.local")
	at := netip.MustParseAddr(address)
	svc := &model.Service{
		Hostname: h, Namespace: namespace, Name: name, Headless: headless, Created: time.Unix(int64(len(name)), 0),
		Ports:     []model.Port{{Name: "tcp", Number: 9000, Protocol: model.TCP}},
		Addresses: []model.Addresses{{Cluster: c}},
	}
	if !headless {
		svc.Addresses[0].Addresses = []netip.Addr{at}
	}
	ns := *s.Namespaces[namespace]
	ns.Services[h] = svc
	ns.Backends[h] = &model.Backends{Ports: map[uint16]*model.Endpoints{
		9000: {Items: []model.Endpoint{{Address: at, Port: 9000, Cluster: c, MTLS: true}}},
	}}
	s.Namespaces[namespace] = &ns
}

func TestAPlaceThatSeveralServicesClaimHasOneListener(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		claim func(s *model.Snapshot)
		want  string // upstream of the listener
	}{
		{"headless services of the same pod: the older one", func(s *model.Snapshot) {
			claim(s, "ns0", "younger", "c1", "10.50.0.1", true)
			claim(s, "ns0", "older", "c1", "10.50.0.1", true)
			claim(s, "ns1", "youngest", "c1", "10.50.0.1", true)
		}, "outbound|9000||older.ns0.svc.cluster.local"},
		{"the same virtual address in two clusters: the own cluster's service", func(s *model.Snapshot) {
			claim(s, "ns0", "old", "c2", "10.50.0.1", false)
			claim(s, "ns1", "younger", "c1", "10.50.0.1", false)
		}, "outbound|9000||younger.ns1.svc.cluster.local"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := world(1)
			class := view.Classes(s, sidecar, view.TypeListeners)[0]
			before := Generator{}.Build(s, class, nil)
			tc.claim(s)
			set := Generator{}.Build(s, class, before)
			holders := 0
			for _, shard := range set.Shards {
				if r := shard.Resources["10.50.0.1_9000"]; r != nil {
					holders++
					if source := r.source.(boundSource); view.OutboundName(source.port.Number, source.service.Hostname) != tc.want {
						t.Errorf("the listener is of %s, want %s", source.service.Hostname, tc.want)
					}
				}
			}
			if holders != 1 {
				t.Errorf("%d listeners, want one", holders)
			}
		})
	}
}
