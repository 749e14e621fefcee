package view

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

func TestDomainsAreAllThatPeopleWrite(t *testing.T) {
	t.Parallel()
	service := &model.Service{
		Hostname: "web.shop.svc.cluster.local", Namespace: "shop", Name: "web",
		Addresses: []model.Addresses{{Cluster: "c1", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")}}},
	}
	pods := &model.Service{Hostname: "db.shop.svc.cluster.local", Namespace: "shop", Name: "db", Headless: true}
	cases := []struct {
		name      string
		service   *model.Service
		namespace string
		want      []string
	}{
		{"in its own namespace", service, "shop", []string{
			"web.shop.svc.cluster.local", "web.shop.svc.cluster.local.", "web", "web.shop", "web.shop.svc", "10.0.0.1", "[fd00::1]",
		}},
		{"in another", service, "sample", []string{
			"web.shop.svc.cluster.local", "web.shop.svc.cluster.local.", "web.shop", "web.shop.svc", "10.0.0.1", "[fd00::1]",
		}},
		{"pods by their names", pods, "shop", []string{
			"db.shop.svc.cluster.local", "db.shop.svc.cluster.local.", "db", "db.shop", "db.shop.svc",
			"*.db.shop.svc.cluster.local", "*.db.shop.svc.cluster.local.", "*.db", "*.db.shop", "*.db.shop.svc",
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, Domains(tc.service, tc.namespace, "c1")); diff != "" {
				t.Errorf("domains (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheOwnClustersServicesGoFirstThenTheOlder(t *testing.T) {
	t.Parallel()
	ns := &model.Namespace{Services: map[model.Hostname]*model.Service{}}
	for i, s := range []struct {
		host    model.Hostname
		cluster model.Cluster
	}{{"old", "c2"}, {"younger", "c1"}, {"youngest", "c1"}} {
		ns.Services[s.host] = &model.Service{
			Hostname: s.host, Created: time.Unix(int64(i), 0), Addresses: []model.Addresses{{Cluster: s.cluster}},
			Ports: []model.Port{{Number: 80, Protocol: model.HTTP}},
		}
	}
	s := &model.Snapshot{Namespaces: map[string]*model.Namespace{"sample": ns}}
	for c, want := range map[model.Cluster][]model.Hostname{
		"c1": {"younger", "youngest", "old"},
		"c2": {"old", "younger", "youngest"},
	} {
		var got []model.Hostname
		for _, svc := range HTTPServices(s, 80, c) {
			got = append(got, svc.Hostname)
		}
		if !slices.Equal(got, want) {
			t.Errorf("in %s: %v, want %v", c, got, want)
		}
	}
}
