package registry_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// pemPair is a new certificate for some names, and its key; small makes the key one that proxies refuse.
func pemPair(t *testing.T, small bool, names ...string) (certificate, key []byte) {
	t.Helper()
	var private any
	var public any
	if small {
		t.Setenv("GODEBUG", "rsa1024min=0")
		k, err := rsa.GenerateKey(rand.Reader, 1024)
		if err != nil {
			t.Fatal(err)
		}
		private, public = k, k.Public()
	} else {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		private, public = k, k.Public()
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: names}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func secret(name string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "edge", Name: name}, Data: data}
}

// Not parallel: making a key that is too small needs a setting of the whole process.
func TestCredentialFrom(t *testing.T) {
	certificate, key := pemPair(t, false, "shop.example.com")
	_, otherKey := pemPair(t, false)
	small, smallKey := pemPair(t, true, "shop.example.com")
	nameless, namelessKey := pemPair(t, false)
	bad := []byte("no PEM at all")
	cases := []struct {
		name        string
		data        map[string][]byte
		pair, roots string // parts of what is wrong; empty when good
	}{
		{"type kubernetes.io/tls", map[string][]byte{"tls.crt": certificate, "tls.key": key}, "", "lacks ca.crt"},
		{"with the authority of clients", map[string][]byte{"tls.crt": certificate, "tls.key": key, "ca.crt": certificate}, "", ""},
		{"generic", map[string][]byte{"cert": certificate, "key": key, "cacert": certificate}, "", ""},
		{"the authority alone", map[string][]byte{"cacert": certificate}, "lacks tls.crt or tls.key", ""},
		{"empty", nil, "lacks tls.crt or tls.key", "lacks ca.crt"},
		{"key of another certificate", map[string][]byte{"tls.crt": certificate, "tls.key": otherKey}, "tls.crt and tls.key cannot be used", "lacks"},
		{"small key", map[string][]byte{"tls.crt": small, "tls.key": smallKey}, "1024 bits", "lacks"},
		{"no names", map[string][]byte{"tls.crt": nameless, "tls.key": namelessKey}, "neither a common name", "lacks"},
		{"no PEM", map[string][]byte{"cert": bad, "key": bad, "ca.crt": bad}, "cert and key cannot be used", "no PEM block CERTIFICATE"},
		{"a key for an authority", map[string][]byte{"ca.crt": key}, "lacks", "PRIVATE KEY, not CERTIFICATE"},
		{"bad revocation list", map[string][]byte{"ca.crt": certificate, "ca.crl": bad}, "lacks", "ca.crl cannot be used"},
	}
	for _, tc := range cases {
		c := registry.CredentialFrom(secret("shop", tc.data))
		if (c.Pair == "") != (tc.pair == "") || !strings.Contains(c.Pair, tc.pair) || (c.Model.Certificates != "") != (c.Pair == "") {
			t.Errorf("%s: pair: %q, want %q", tc.name, c.Pair, tc.pair)
		}
		if (c.Roots == "") != (tc.roots == "") || !strings.Contains(c.Roots, tc.roots) || (c.Model.Roots != "") != (c.Roots == "") {
			t.Errorf("%s: roots: %q, want %q", tc.name, c.Roots, tc.roots)
		}
		for _, text := range []string{c.Pair, c.Roots} {
			if strings.Contains(text, "BEGIN") || strings.Contains(text, string(key[40:60])) {
				t.Errorf("%s: key material in %q", tc.name, text)
			}
		}
	}
}

// ingress is the pod of a gateway.
func ingress(namespace string) *registry.Pod {
	return &registry.Pod{Namespace: namespace, Name: "gateway", ServiceAccount: "gateway", Labels: map[string]string{"istio": "ingress"}}
}

// tlsGateway is a Gateway in namespace shop for gateways that are labelled istio: ingress.
func tlsGateway(name, credential string, mode model.TLSMode) *registry.Gateway {
	return &registry.Gateway{Model: &model.Gateway{
		Namespace: "shop", Name: name, Selector: map[string]string{"istio": "ingress"}, Created: epoch,
		Servers: []model.GatewayServer{{Port: model.Port{Number: 443}, TLS: mode, CredentialName: credential}},
	}}
}

func TestSnapshotHoldsCredentials(t *testing.T) {
	t.Parallel()
	certificate, key := pemPair(t, false, "shop.example.com")
	good := registry.CredentialFrom(secret("good", map[string][]byte{"tls.crt": certificate, "tls.key": key}))
	cluster1 := registry.NewObjects("cluster1", ingress("edge"), tlsGateway("a", "good", model.Simple), good)
	cluster2 := registry.NewObjects("cluster2", registry.CredentialFrom(secret("good", nil)))
	first := registry.Build(nil, []*registry.Objects{cluster1, cluster2}, mesh())
	if got := first.Namespaces["edge"].Credentials["good"]; got != good.Model {
		t.Fatalf("the credential is %+v", got)
	}
	if len(first.Problems) > 0 {
		t.Errorf("problems: %v", texts(first.Problems))
	}

	again := cluster1.With(registry.CredentialFrom(secret("good", map[string][]byte{"tls.crt": certificate, "tls.key": key})))
	if second := registry.Build(first, []*registry.Objects{again, cluster2}, mesh()); second != first {
		t.Error("the same Secret read again makes another snapshot")
	}
	shop := first.Namespaces["shop"]
	other, otherKey := pemPair(t, false, "shop.example.com")
	rotated := cluster1.With(registry.CredentialFrom(secret("good", map[string][]byte{"tls.crt": other, "tls.key": otherKey})))
	third := registry.Build(first, []*registry.Objects{rotated, cluster2}, mesh())
	if third.Namespaces["edge"].Credentials["good"] == good.Model || third.Namespaces["shop"] != shop {
		t.Error("a rotated Secret changes its namespace, and no other")
	}
}

func TestProblemsOfCredentials(t *testing.T) {
	t.Parallel()
	certificate, key := pemPair(t, false, "shop.example.com")
	pair := map[string][]byte{"tls.crt": certificate, "tls.key": key}
	missing := &registry.Credential{Namespace: "edge", Name: "shop"}
	missingRoots := &registry.Credential{Namespace: "edge", Name: "shop-cacert"}
	cases := []struct {
		name    string
		mode    model.TLSMode
		secrets []registry.Object
		want    []string // parts, in order
	}{
		{"not looked for yet", model.Simple, nil, nil},
		{"missing", model.Simple, []registry.Object{missing}, []string{"kubectl create -n edge secret tls shop"}},
		{"missing, mutual", model.Mutual, []registry.Object{missing, missingRoots}, []string{"Secret edge/shop with its certificate does not exist"}},
		{"unread", model.Simple, []registry.Object{&registry.Credential{Namespace: "edge", Name: "shop", Unread: "istiod may not"}}, []string{"port 443: istiod may not"}},
		{"broken", model.Simple, []registry.Object{registry.CredentialFrom(secret("shop", nil))}, []string{"Secret edge/shop: it lacks tls.crt"}},
		{"no authority", model.Mutual, []registry.Object{registry.CredentialFrom(secret("shop", pair)), missingRoots}, []string{"Secret edge/shop: it lacks ca.crt"}},
		{
			"authority beside it, which is broken", model.Mutual,
			[]registry.Object{registry.CredentialFrom(secret("shop", pair)), registry.CredentialFrom(secret("shop-cacert", nil))},
			[]string{"Secret edge/shop-cacert: it lacks ca.crt"},
		},
		{
			"authority beside it", model.Mutual,
			[]registry.Object{registry.CredentialFrom(secret("shop", pair)), registry.CredentialFrom(secret("shop-cacert", map[string][]byte{"cacert": certificate}))},
			nil,
		},
	}
	for _, tc := range cases {
		own := registry.NewObjects("cluster1", append(tc.secrets, ingress("edge"), tlsGateway("shop", "shop", tc.mode))...)
		s := registry.Build(nil, []*registry.Objects{own, registry.NewObjects("cluster2")}, mesh())
		got := texts(s.Problems)
		if len(got) != len(tc.want) {
			t.Errorf("%s: problems are %q, want %q", tc.name, got, tc.want)
			continue
		}
		for i, want := range tc.want {
			if !strings.HasPrefix(got[i], "Gateway shop/shop in cluster cluster1: ") || !strings.Contains(got[i], want) {
				t.Errorf("%s: problem is %q, want %q", tc.name, got[i], want)
			}
		}
	}
}

func TestWantedFollowsPodsAndGateways(t *testing.T) {
	t.Parallel()
	sidecar := &registry.Pod{Namespace: "shop", Name: "cart", Labels: map[string]string{"app": "cart"}}
	cluster1 := registry.NewObjects("cluster1", sidecar)
	cluster2 := registry.NewObjects("cluster2")
	var wanted *registry.Wanted
	step := func(name string, want map[string][]string) {
		t.Helper()
		clusters := []*registry.Objects{cluster1, cluster2}
		wanted = registry.NextWanted(wanted, "cluster1", clusters)
		if diff := cmp.Diff(want, wanted.Secrets()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if fresh := registry.NextWanted(nil, "cluster1", clusters).Secrets(); !maps.EqualFunc(fresh, wanted.Secrets(), slices.Equal) {
			t.Errorf("%s: from the start it is %v", name, fresh)
		}
		if registry.NextWanted(wanted, "cluster1", clusters) != wanted {
			t.Errorf("%s: the same objects want something else", name)
		}
	}
	step("nothing", map[string][]string{})
	cluster1 = cluster1.With(ingress("edge"))
	step("a gateway without Gateways", map[string][]string{})
	cluster1 = cluster1.With(tlsGateway("a", "a", model.Simple), tlsGateway("p", "p", model.Passthrough))
	step("a Gateway", map[string][]string{"edge": {"a"}})
	cluster1 = cluster1.With(tlsGateway("b", "b", model.Mutual))
	step("another", map[string][]string{"edge": {"a", "b", "b-cacert"}})
	cluster2 = cluster2.With(ingress("far"))
	step("a gateway in another cluster", map[string][]string{"edge": {"a", "b", "b-cacert"}, "far": {"a", "b", "b-cacert"}})
	cluster2 = cluster2.With(tlsGateway("c", "c", model.Simple))
	step("a Gateway in a cluster that holds no configuration", map[string][]string{"edge": {"a", "b", "b-cacert"}, "far": {"a", "b", "b-cacert"}})
	cluster1 = cluster1.Without(ingress("edge").Key())
	step("a gateway is gone", map[string][]string{"far": {"a", "b", "b-cacert"}})
	cluster2 = registry.NewObjects("cluster2")
	step("a cluster is empty", map[string][]string{})
}

func TestServersThatEndTLSInOtherWaysAreRefused(t *testing.T) {
	t.Parallel()
	const simple = networking.ServerTLSSettings_SIMPLE
	selector := map[string]string{"istio": "ingress"}
	cases := []struct {
		selector map[string]string
		tls      *networking.ServerTLSSettings
		want     string // part of the problem; empty when there is none
	}{
		{selector, &networking.ServerTLSSettings{Mode: simple, CredentialName: "shop"}, ""},
		{nil, &networking.ServerTLSSettings{Mode: simple, CredentialName: "shop"}, "give the Gateway a selector"},
		{selector, &networking.ServerTLSSettings{Mode: simple}, "credentialName is empty"},
		{selector, &networking.ServerTLSSettings{Mode: simple, CredentialName: "kubernetes://other/shop"}, "not the name of a Secret"},
		{selector, &networking.ServerTLSSettings{Mode: simple, CredentialName: "shop-cacert"}, "ends in -cacert"},
		{selector, &networking.ServerTLSSettings{Mode: simple, ServerCertificate: "/etc/c"}, "tls.serverCertificate is not served"},
		{selector, &networking.ServerTLSSettings{
			Mode: networking.ServerTLSSettings_MUTUAL, CredentialName: "shop", SubjectAltNames: []string{"a"},
		}, "tls.subjectAltNames is not served"},
		{selector, &networking.ServerTLSSettings{
			Mode: networking.ServerTLSSettings_MUTUAL, CredentialName: "shop", VerifyCertificateHash: []string{"a"},
		}, "tls.verifyCertificateHash is not served"},
		{selector, &networking.ServerTLSSettings{
			Mode: simple, CredentialName: "shop", MaxProtocolVersion: networking.ServerTLSSettings_TLSV1_1,
		}, "maxProtocolVersion TLSV1_1 is below the lowest version, TLSV1_2"},
	}
	for _, tc := range cases {
		g := registry.GatewayFrom(&metav1.ObjectMeta{Namespace: "shop", Name: "shop"}, &networking.Gateway{
			Selector: tc.selector,
			Servers:  []*networking.Server{{Port: &networking.Port{Number: 443, Protocol: "HTTPS"}, Hosts: []string{"*"}, Tls: tc.tls}},
		})
		if tc.want == "" {
			if len(g.Problems) > 0 || len(g.Model.Servers) != 1 {
				t.Errorf("%v: problems %q", tc.tls, g.Problems)
			}
		} else if len(g.Problems) != 1 || !strings.Contains(g.Problems[0], tc.want) || len(g.Model.Servers) > 0 {
			t.Errorf("%v: problems %q, want %q", tc.tls, g.Problems, tc.want)
		}
	}
}
