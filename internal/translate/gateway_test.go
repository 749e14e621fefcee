package translate

import (
	"slices"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

func TestAServerNameHasOneChain(t *testing.T) {
	t.Parallel()
	taken := serverNames{}
	cases := []struct {
		hosts []string
		names []string
		ok    bool
	}{
		{[]string{"a.example.com", "B.example.com"}, []string{"a.example.com", "b.example.com"}, true},
		{[]string{"a.example.com"}, nil, false},
		{[]string{"b.example.com", "*.example.com"}, []string{"*.example.com"}, true},
		{[]string{"c.example.com", "*"}, nil, true},
		{[]string{"*"}, nil, false},
		{[]string{"*", "d.example.com"}, []string{"d.example.com"}, true},
	}
	for _, tc := range cases {
		if names, ok := taken.claim(tc.hosts); !slices.Equal(names, tc.names) || ok != tc.ok {
			t.Errorf("%q claims %q, %t, want %q, %t", tc.hosts, names, ok, tc.names, tc.ok)
		}
	}
}

func TestServersOfOnePortOfThePodShareAListener(t *testing.T) {
	t.Parallel()
	server := func(number uint16, host string) model.GatewayServer {
		return model.GatewayServer{Port: model.Port{Name: "http", Number: number, Protocol: model.HTTP}, Hosts: []string{host}}
	}
	snapshot := &model.Snapshot{Mesh: &model.Mesh{}, Namespaces: map[string]*model.Namespace{"edge": {Gateways: []*model.Gateway{
		{Namespace: "edge", Name: "a", Servers: []model.GatewayServer{server(80, "a.example.com"), server(8080, "b.example.com")}},
	}}}}
	class := view.Class{Namespace: "edge", Labels: "edge/a", Workload: "80=8080"}
	for part, want := range map[view.Part]string{view.GatewayListeners: "0.0.0.0_8080", view.GatewayRoutes: "http.80"} {
		class.Part = part
		set := Generator{}.Build(snapshot, class, nil)
		if set.Len() != 1 || set.Lookup(want) == nil {
			t.Errorf("%v: %d resources, want %s alone", part, set.Len(), want)
		}
	}
}

func TestRedirectsToHTTPSGoByHost(t *testing.T) {
	t.Parallel()
	server := func(redirect bool, hosts ...string) view.BoundServer {
		return view.BoundServer{Server: model.GatewayServer{Hosts: hosts, HTTPSRedirect: redirect}}
	}
	cases := []struct {
		name                string
		servers             []view.BoundServer
		redirected, unknown []string
	}{
		{"none", []view.BoundServer{server(false, "a.example.com")}, nil, []string{"*"}},
		{"all", []view.BoundServer{server(true, "*")}, []string{"*"}, nil},
		{"one of two", []view.BoundServer{server(true, "a.example.com"), server(false, "b.example.com")}, []string{"a.example.com"}, []string{"b.example.com", "*"}},
		{"all but one", []view.BoundServer{server(false, "a.example.com"), server(true, "*")}, []string{"*"}, []string{"a.example.com"}},
		{"the oldest has a host", []view.BoundServer{server(true, "a.example.com"), server(false, "A.example.com")}, []string{"a.example.com"}, []string{"*"}},
	}
	for _, c := range cases {
		var redirected, unknown []string
		for _, host := range unrouted("http.80", 80, plainAnswers(view.Port{Number: 80, Servers: c.servers})).GetVirtualHosts() {
			if host.GetRoutes()[0].GetRedirect() != nil {
				redirected = append(redirected, host.GetDomains()...)
			} else {
				unknown = append(unknown, host.GetDomains()...)
			}
		}
		if !slices.Equal(redirected, c.redirected) || !slices.Equal(unknown, c.unknown) {
			t.Errorf("%s: redirects %q and knows nothing of %q, want %q and %q", c.name, redirected, unknown, c.redirected, c.unknown)
		}
	}
}

func TestARotatedSecretIsOneResource(t *testing.T) {
	t.Parallel()
	server := func(secret string) model.GatewayServer {
		return model.GatewayServer{TLS: model.Mutual, CredentialName: secret}
	}
	credential := func(certificate string) *model.Credential {
		return &model.Credential{Certificates: certificate, Key: "k", Roots: "r"}
	}
	snapshot := func(credentials map[string]*model.Credential) *model.Snapshot {
		return &model.Snapshot{Mesh: &model.Mesh{}, Namespaces: map[string]*model.Namespace{
			"shop": {Gateways: []*model.Gateway{{Namespace: "shop", Name: "a", Servers: []model.GatewayServer{server("a"), server("b")}}}},
			"edge": {Credentials: credentials},
		}}
	}
	class := view.Class{Part: view.Credentials, Namespace: "edge", Labels: "shop/a"}
	a, b := credential("a"), credential("b")
	first := Generator{}.Build(snapshot(map[string]*model.Credential{"a": a, "b": b}), class, nil)
	if first.Len() != 4 {
		t.Fatalf("%d resources, want a certificate and the authorities for each of two servers", first.Len())
	}
	second := Generator{}.Build(snapshot(map[string]*model.Credential{"a": credential("new"), "b": b}), class, first)
	changed, removed := second.Diff(first)
	if len(changed) != 1 || changed[0].Name != "kubernetes://a" || len(removed) > 0 {
		t.Errorf("changed %v, removed %v, want the certificate that was rotated", changed, removed)
	}
	for _, same := range []string{"kubernetes://b", "kubernetes://b-cacert"} {
		if first.Lookup(same) != second.Lookup(same) {
			t.Errorf("%s was made again", same)
		}
	}
	third := Generator{}.Build(snapshot(map[string]*model.Credential{"b": b}), class, second)
	if changed, removed := third.Diff(second); len(changed) > 0 || !slices.Equal(removed, []string{"kubernetes://a", "kubernetes://a-cacert"}) {
		t.Errorf("changed %v, removed %v, want what was deleted", changed, removed)
	}
}
