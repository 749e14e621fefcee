package ca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
	security "istio.io/api/security/v1alpha1"
	authv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/internal/authn"
	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// tokens reviews every token as the service account sample/curl, but for "bad".
type tokens struct{}

func (tokens) Create(_ context.Context, review *authv1.TokenReview, _ metav1.CreateOptions) (*authv1.TokenReview, error) {
	review.Status = authv1.TokenReviewStatus{
		Authenticated: review.Spec.Token != "bad", Audiences: review.Spec.Audiences,
		User: authv1.UserInfo{Username: "system:serviceaccount:sample:curl", Groups: []string{"system:serviceaccounts"}},
	}
	return review, nil
}

// istiod is the signing service on a real port with real TLS.
type istiod struct {
	current  *Current
	serving  *ServingCertificate
	registry *prometheus.Registry
	address  string
}

func newIstiod(t *testing.T, current *Current, now func() time.Time) *istiod {
	t.Helper()
	serving, err := NewServingCertificate(current, ServingOptions{Names: ServerNames("istio-system", "canary", "mesh.example.com"), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	callers := authn.New(authn.Options{
		Domain: domain, Cluster: "cluster1", Now: now,
		Reviewers: func(cluster string) (authn.TokenReviewer, bool) { return tokens{}, cluster == "cluster1" },
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := &istiod{current: current, serving: serving, registry: prometheus.NewRegistry(), address: listener.Addr().String()}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(serving.TLSConfig())))
	security.RegisterIstioCertificateServiceServer(server, NewService(current, callers.Authenticate, i.registry, ServiceOptions{Now: now}))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return i
}

// dial opens a client that trusts these roots and shows this certificate; either may be nil.
func (i *istiod) dial(t *testing.T, roots trust.Bundle, certificate *tls.Certificate) security.IstioCertificateServiceClient {
	t.Helper()
	config := &tls.Config{RootCAs: roots.Pool(), ServerName: "istiod.istio-system.svc", MinVersion: tls.VersionTLS12}
	if certificate != nil {
		// Shown whatever the server asks for, as a stranger would.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	conn, err := grpc.NewClient(i.address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return security.NewIstioCertificateServiceClient(conn)
}

func withToken(t *testing.T, token string) context.Context {
	t.Helper()
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token, "ClusterID", "cluster1")
}

// enroll asks for a certificate with a token and returns it ready for TLS.
func enroll(t *testing.T, client security.IstioCertificateServiceClient) (*security.IstioCertificateResponse, *tls.Certificate) {
	t.Helper()
	csr, key := newCSR(t, x509.CertificateRequest{})
	response, err := client.CreateCertificate(withToken(t, "good"), &security.IstioCertificateRequest{Csr: csr, ValidityDuration: 3600})
	if err != nil {
		t.Fatal(err)
	}
	certificate := &tls.Certificate{PrivateKey: key}
	for _, text := range response.CertChain[:len(response.CertChain)-1] {
		block, _ := pem.Decode([]byte(text))
		certificate.Certificate = append(certificate.Certificate, block.Bytes)
	}
	return response, certificate
}

func TestWorkloadEnrollsWithTokenAndRenewsWithCertificate(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	i := newIstiod(t, NewCurrent(newIntermediate(t, root, "cluster1"), PluggedIn), time.Now)
	first, certificate := enroll(t, i.dial(t, root.Roots(), nil))
	if len(first.CertChain) != 3 || first.CertChain[2] != string(root.Roots().PEM()) {
		t.Fatalf("chain of %d, want leaf, intermediate, roots", len(first.CertChain))
	}
	admin, _ := url.Parse("spiffe://cluster.local/ns/kube-system/sa/admin")
	csr, _ := newCSR(t, x509.CertificateRequest{URIs: []*url.URL{admin}})
	second, err := i.dial(t, root.Roots(), certificate).CreateCertificate(t.Context(), &security.IstioCertificateRequest{Csr: csr})
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(second.CertChain[0]))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != curl.String() {
		t.Errorf("names %v, want the caller's %s", leaf.URIs, curl)
	}
	if life := time.Until(leaf.NotAfter); life < 23*time.Hour || life > 24*time.Hour {
		t.Errorf("lives %s by default", life)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	i := newIstiod(t, NewCurrent(root, SelfSigned), time.Now)
	client := i.dial(t, root.Roots(), nil)
	csr, _ := newCSR(t, x509.CertificateRequest{})
	impersonation, err := structpb.NewStruct(map[string]any{"ImpersonatedIdentity": "spiffe://cluster.local/ns/a/sa/b"})
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name    string
		ctx     context.Context
		request *security.IstioCertificateRequest
		code    codes.Code
		text    string
	}{
		{"no credential", t.Context(), &security.IstioCertificateRequest{Csr: csr}, codes.Unauthenticated, "request authenticate failure"},
		{"bad token", withToken(t, "bad"), &security.IstioCertificateRequest{Csr: csr}, codes.Unauthenticated, "does not accept the token"},
		{"no CSR", withToken(t, "good"), &security.IstioCertificateRequest{}, codes.Internal, "no PEM certificate request"},
		{"over 90 days", withToken(t, "good"), &security.IstioCertificateRequest{Csr: csr, ValidityDuration: 91 * 86400}, codes.InvalidArgument, "want 10s to"},
		{"overflow", withToken(t, "good"), &security.IstioCertificateRequest{Csr: csr, ValidityDuration: math.MaxInt64}, codes.InvalidArgument, "want 10s to"},
		{"too short", withToken(t, "good"), &security.IstioCertificateRequest{Csr: csr, ValidityDuration: 9}, codes.InvalidArgument, "want 10s to"},
		{"for another", withToken(t, "good"), &security.IstioCertificateRequest{Csr: csr, Metadata: impersonation}, codes.PermissionDenied, "may not ask"},
	}
	for _, c := range cases {
		_, err := client.CreateCertificate(c.ctx, c.request)
		if status.Code(err) != c.code || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %s: %s", c.name, err, c.code, c.text)
		}
	}
	for name, want := range map[string]float64{
		"citadel_server_csr_count": 7, "citadel_server_authentication_failure_count": 2, "citadel_server_csr_parsing_err_count": 1,
		"citadel_server_csr_sign_err_count": 3, "citadel_server_success_cert_issuance_count": 0,
		"citadel_server_root_cert_expiry_timestamp": float64(root.NotAfter().Unix()),
	} {
		if got := metric(t, i.registry, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func metric(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.Metric[0].GetCounter().GetValue() + family.Metric[0].GetGauge().GetValue()
		}
	}
	t.Errorf("no metric %s", name)
	return -1
}

func TestStrangersFailTheHandshake(t *testing.T) {
	t.Parallel()
	root, stranger := newRoot(t), newRoot(t)
	i := newIstiod(t, NewCurrent(root, SelfSigned), time.Now)
	other := newIstiod(t, NewCurrent(stranger, SelfSigned), time.Now)
	_, foreign := enroll(t, other.dial(t, stranger.Roots(), nil))
	csr, _ := newCSR(t, x509.CertificateRequest{})
	for name, client := range map[string]security.IstioCertificateServiceClient{
		"certificate of another root": i.dial(t, root.Roots(), foreign),
		"server of another root":      i.dial(t, stranger.Roots(), nil),
	} {
		if _, err := client.CreateCertificate(withToken(t, "good"), &security.IstioCertificateRequest{Csr: csr}); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	own := &i.serving.latest().Certificates[0] // of the right root, but it names a server and no workload
	if _, err := i.dial(t, root.Roots(), own).CreateCertificate(withToken(t, "good"), &security.IstioCertificateRequest{Csr: csr}); status.Code(err) != codes.Unavailable {
		t.Errorf("own certificate without a SPIFFE ID: %v", err)
	}
}

func TestSwappedAuthorityServesAndSignsAtOnce(t *testing.T) {
	t.Parallel()
	old, next := newRoot(t), newRoot(t)
	i := newIstiod(t, NewCurrent(old, SelfSigned), time.Now)
	_, before := enroll(t, i.dial(t, old.Roots(), nil))
	i.current.Swap(newIntermediate(t, next, "cluster1"), PluggedIn)
	// The workload still has the old root's certificate, but its mounted root is the new one.
	csr, _ := newCSR(t, x509.CertificateRequest{})
	response, err := i.dial(t, next.Roots(), before).CreateCertificate(t.Context(), &security.IstioCertificateRequest{Csr: csr})
	if err != nil {
		t.Fatal(err)
	}
	if len(response.CertChain) != 3 || response.CertChain[2] != string(next.Roots().PEM()) {
		t.Error("the answer is not the new authority's")
	}
}

func TestServingCertificateIsRenewedAtHalfItsLife(t *testing.T) {
	t.Parallel()
	now := time.Now()
	current := NewCurrent(newRoot(t), SelfSigned)
	serving, err := NewServingCertificate(current, ServingOptions{
		Names: ServerNames("istio-system", ""), TTL: time.Hour, Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	first := serving.Leaf()
	now = now.Add(29 * time.Minute)
	if serving.Leaf() != first {
		t.Error("renewed before half of its life")
	}
	now = now.Add(2 * time.Minute)
	second := serving.Leaf()
	if second == first {
		t.Error("not renewed after half of its life")
	}
	now = current.Authority().NotAfter().Add(time.Second)
	if serving.Leaf() != second {
		t.Error("an expired authority took the served certificate away")
	}
}

func TestServerNamesAreAllThatIstiodIsCalled(t *testing.T) {
	t.Parallel()
	got := strings.Join(ServerNames("istio-system", "canary", "mesh.example.com", "", "istiod.istio-system.svc"), " ")
	want := "istiod.istio-system.svc istiod.istio-system.svc.cluster.local istiod-remote.istio-system.svc " +
		"istiod-remote.istio-system.svc.cluster.local istio-pilot.istio-system.svc istio-pilot.istio-system.svc.cluster.local " +
		"istiod-canary.istio-system.svc istiod-canary.istio-system.svc.cluster.local mesh.example.com"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestCallerWithoutIdentityIsRefused(t *testing.T) {
	t.Parallel()
	nobody := func(context.Context) (authn.Caller, error) { return authn.Caller{}, nil }
	failing := func(context.Context) (authn.Caller, error) { return authn.Caller{}, errors.New("no") }
	for _, authenticate := range []func(context.Context) (authn.Caller, error){nobody, failing} {
		service := NewService(NewCurrent(newRoot(t), SelfSigned), authenticate, nil, ServiceOptions{})
		csr, _ := newCSR(t, x509.CertificateRequest{})
		if _, err := service.CreateCertificate(t.Context(), &security.IstioCertificateRequest{Csr: csr}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("got %v", err)
		}
	}
}
