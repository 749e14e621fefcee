package pki

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

func newCluster(t *testing.T) (plan.Cluster, Cluster) {
	t.Helper()
	lab, err := plan.New(plan.Request{Name: "a", Clusters: 2, Nodes: 2, Networks: 1}, netip.MustParsePrefix("10.80.0.0/16"))
	if err != nil {
		t.Fatal(err)
	}
	made, err := NewCluster(lab.Clusters[1], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return lab.Clusters[1], made
}

func leaf(t *testing.T, made Cluster, name string) *x509.Certificate {
	t.Helper()
	pair, ok := made.Pairs[name]
	if !ok {
		t.Fatalf("no pair %s", name)
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatalf("%s: certificate and key: %v", name, err)
	}
	return cert.Leaf
}

func roots(made Cluster, name string) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(made.Pairs[name].Cert)
	return pool
}

func TestAPIServerIsTrustedUnderAllItsNames(t *testing.T) {
	t.Parallel()
	c, made := newCluster(t)
	cert := leaf(t, made, "kube-apiserver")
	names := []string{
		"kubernetes", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost",
		c.Nodes[0].Address.String(), c.KubernetesService().String(), "127.0.0.1",
	}
	for _, name := range names {
		if _, err := cert.Verify(x509.VerifyOptions{DNSName: name, Roots: roots(made, ClusterCA)}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := cert.Verify(x509.VerifyOptions{DNSName: "10.80.0.17", Roots: roots(made, ClusterCA)}); err == nil {
		t.Error("trusted under the address of another cluster's API server")
	}
}

func TestClientsAreWhoKubernetesExpects(t *testing.T) {
	t.Parallel()
	c, made := newCluster(t)
	cases := []struct {
		pair, user string
		groups     []string
	}{
		{AdminPair, Admin, []string{"system:masters"}},
		{KubeletPair(c.Nodes[1]), "system:node:cluster2-node2", []string{"system:nodes"}},
		{"kube-controller-manager", "system:kube-controller-manager", nil},
		{"kube-scheduler", "system:kube-scheduler", nil},
		{"kube-proxy", "system:kube-proxy", nil},
		{KubeletClient, KubeletClient, nil},
		{"cloud-controller", CloudController, nil},
	}
	for _, want := range cases {
		cert := leaf(t, made, want.pair)
		if cert.Subject.CommonName != want.user || !slices.Equal(cert.Subject.Organization, want.groups) {
			t.Errorf("%s: is %s; want %s in %v", want.pair, cert.Subject, want.user, want.groups)
		}
		options := x509.VerifyOptions{Roots: roots(made, ClusterCA), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		if _, err := cert.Verify(options); err != nil {
			t.Errorf("%s: %v", want.pair, err)
		}
	}
}

func TestAuthoritiesAreNotMixed(t *testing.T) {
	t.Parallel()
	_, made := newCluster(t)
	_, other := newCluster(t)
	options := func(roots *x509.CertPool) x509.VerifyOptions {
		return x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
	}
	if _, err := leaf(t, made, AdminPair).Verify(options(roots(other, ClusterCA))); err == nil {
		t.Error("one cluster's admin is trusted by another cluster")
	}
	if _, err := leaf(t, made, "front-proxy-client").Verify(options(roots(made, ClusterCA))); err == nil {
		t.Error("the front proxy's client is trusted as a client of the cluster")
	}
	if _, err := leaf(t, made, "front-proxy-client").Verify(options(roots(made, FrontProxyCA))); err != nil {
		t.Error(err)
	}
}
