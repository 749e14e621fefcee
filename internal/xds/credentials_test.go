package xds

import (
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/translate"
)

// harbour is a mesh in which a Gateway of every namespace's ingress names the Secret shop, which two namespaces have.
func harbour() *model.Snapshot {
	labels := map[string]string{"istio": "ingress"}
	namespace := func(name string) *model.Namespace {
		return &model.Namespace{
			Name: name,
			Workloads: map[model.WorkloadKey]*model.Workload{
				{Cluster: "cluster1", Name: "gateway"}: {Cluster: "cluster1", Namespace: name, Name: "gateway", ServiceAccount: "gateway", Labels: labels},
				{Cluster: "cluster1", Name: "app"}:     {Cluster: "cluster1", Namespace: name, Name: "app", ServiceAccount: "app"},
			},
			Credentials: map[string]*model.Credential{
				"shop":  {Certificates: "certificate of " + name, Key: model.PrivateKey("key-of-" + name), Roots: "roots of " + name},
				"other": {Certificates: "another certificate of " + name, Key: model.PrivateKey("other-key-of-" + name)},
			},
		}
	}
	a, b := namespace("a"), namespace("b")
	a.Gateways = []*model.Gateway{{
		Namespace: "a", Name: "shop", Selector: labels,
		Servers: []model.GatewayServer{{TLS: model.Simple, CredentialName: "shop", Port: model.Port{Number: 443}, Hosts: []string{"*"}}},
	}}
	return &model.Snapshot{
		Revision: 1, Mesh: &model.Mesh{Cluster: "cluster1"}, Gateways: &model.NetworkGateways{},
		Namespaces: map[string]*model.Namespace{"a": a, "b": b},
	}
}

// translated is a mesh that serves what is made of a snapshot.
func translated(t *testing.T, s *model.Snapshot) *mesh {
	m := newMesh(t, Options{})
	m.store.gen, m.opts.Generator = translate.Generator{}, translate.Generator{}
	m.Publish(s)
	return m
}

// deltaAs is a proxy that says of itself what a node says.
func (m *mesh) deltaAs(n *corev3.Node) *deltaClient {
	c := m.delta("")
	c.node = n
	return c
}

// router is the node of a gateway, with the labels that every gateway of harbour has.
func router(pod, namespace, account string) *corev3.Node {
	text := structpb.NewStringValue
	return &corev3.Node{
		Id: "router~10.0.0.1~" + pod + "." + namespace + "~" + namespace + ".svc.cluster.local",
		Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
			"CLUSTER_ID": text("cluster1"), "NAMESPACE": text(namespace), "SERVICE_ACCOUNT": text(account),
			"LABELS": structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"istio": text("ingress")}}),
		}},
	}
}

// CVE-2021-34824: a cache of credentials that did not know who asks gave them to gateways of other namespaces.
func TestCredentialsGoToGatewaysOfTheirNamespaceOnly(t *testing.T) {
	t.Parallel()
	const shop = "kubernetes://shop"
	m := translated(t, harbour())
	cases := []struct {
		name string
		node *corev3.Node
		want string // part of the key that is served; empty when none is
	}{
		{"the gateway of a", router("gateway", "a", "gateway"), "key-of-a"},
		{"the gateway of b", router("gateway", "b", "gateway"), "key-of-b"},
		{"the gateway of a, once more", router("gateway", "a", "gateway"), "key-of-a"},
		{"a workload that claims to be a gateway", router("app", "a", "app"), ""},
		{"a workload that claims the name of the gateway's pod", router("gateway", "a", "app"), ""},
		{"a pod that nobody knows", router("stranger", "a", "gateway"), ""},
		{"another namespace", router("gateway", "c", "gateway"), ""},
	}
	for _, tc := range cases {
		c := m.deltaAs(tc.node)
		c.subscribe(typeSecret, shop, "kubernetes://other", "kubernetes://shop-cacert", "kubernetes://a/shop", "shop")
		r := c.recv()
		var keys []string
		for _, resource := range r.GetResources() {
			if resource.GetName() != shop {
				t.Errorf("%s got %s, which its Gateways do not name", tc.name, resource.GetName())
			}
			keys = append(keys, string(resource.GetResource().GetValue()))
		}
		got := strings.Join(keys, "")
		if tc.want == "" && got != "" || !strings.Contains(got, tc.want) || strings.Count(got, "key-of-") > 1 {
			t.Errorf("%s got %q, want %q", tc.name, got, tc.want)
		}
		if len(r.GetResources())+len(r.GetRemovedResources()) != 5 {
			t.Errorf("%s got no answer to some of the names: %v", tc.name, r)
		}
	}
}

func TestConfigDumpHasNoKeys(t *testing.T) {
	t.Parallel()
	m := translated(t, harbour())
	c := m.deltaAs(router("gateway", "a", "gateway"))
	c.subscribe(typeSecret, "kubernetes://shop")
	c.ack(c.recv())
	eventually(t, "the secret is acknowledged", func() bool {
		p := m.Proxies()
		return len(p) == 1 && len(p[0].Types) == 1 && p[0].Synced()
	})
	body := m.get("/debug/config_dump?proxyID=gateway.a").Body.String()
	for _, want := range []string{"kubernetes://shop", model.Redacted} {
		if !strings.Contains(body, want) {
			t.Errorf("the dump lacks %s:\n%s", want, body)
		}
	}
	// The key stands in it as base64, when it does.
	for _, never := range []string{"key-of-a", "a2V5LW9mLW"} {
		if strings.Contains(body, never) {
			t.Errorf("the dump holds the key:\n%s", body)
		}
	}
}
