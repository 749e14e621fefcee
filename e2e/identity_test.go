//go:build lab

package e2e

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
	securityv1alpha1 "istio.io/api/security/v1alpha1"

	"github.com/isthmus-mesh/isthmus/internal/certs"
	"github.com/isthmus-mesh/isthmus/internal/translate"
)

// wantIdentity holds what the server's sidecar says of the client against who it is, and of the server itself.
func wantIdentity(t *testing.T, got calls, namespace, account string) {
	t.Helper()
	cert := got.Last.Headers["x-forwarded-client-cert"]
	client := fmt.Sprintf("URI=spiffe://cluster.local/ns/%s/sa/%s", namespace, account)
	if !strings.Contains(cert, client) || !strings.Contains(cert, "By=spiffe://cluster.local/ns/proto/sa/echo") {
		t.Errorf("the server was told of %q, want %s", cert, client)
	}
}

// identified: requests of another account, of both clusters, arrive with its identity.
func identified(t *testing.T, l *lab) {
	for _, c := range clusters {
		for _, target := range []string{"named.proto:21000", "unsaid.proto:21020", "alone-cluster1.proto:21000", "alone-cluster2.proto:21000"} {
			wantIdentity(t, l.curl(t, c, target), "sample", "sleep")
		}
	}
}

// curl asks an echo from the pod of sleep.
func (l *lab) curl(t *testing.T, cluster string, args ...string) calls {
	t.Helper()
	out := l.kubectl(t, cluster, append([]string{
		"exec", "-n", "sample", "deploy/sleep", "-c", "sleep", "--", "curl", "-sS", "-m", "10",
	}, args...)...)
	got := calls{raw: strings.TrimSpace(out)}
	if err := json.Unmarshal([]byte(out), &got.Last); err != nil {
		t.Fatalf("%s: curl %s: %v in %q", cluster, strings.Join(args, " "), err, out)
	}
	return got
}

// rootEverywhere: a namespace gets the mesh's root within seconds of its making, and again when somebody removes it.
func rootEverywhere(t *testing.T, l *lab) {
	const format = "-o=jsonpath={.metadata.uid} {.data.root-cert\\.pem}"
	for _, c := range clusters {
		l.kubectl(t, c, "create", "namespace", "fresh")
		there := func(notUID string) (uid string) {
			eventually(t, time.Minute, c+": the root is in a new namespace", func() error {
				out, err := l.run(t.Context(), "", "kubectl", "--context", c, "get", "configmap", "-n", "fresh", "istio-ca-root-cert", format)
				if err != nil {
					return fmt.Errorf("%s", out)
				}
				var root string
				if uid, root, _ = strings.Cut(out, " "); uid == notUID || !strings.HasPrefix(root, "-----BEGIN CERTIFICATE-----") {
					return fmt.Errorf("it is %q", out)
				}
				return nil
			})
			return uid
		}
		uid := there("")
		l.kubectl(t, c, "delete", "configmap", "-n", "fresh", "istio-ca-root-cert")
		there(uid)
	}
}

// dialControlPlane connects to a cluster's istiod as an agent does, with a token and the name of the cluster that it is of.
func dialControlPlane(t *testing.T, l *lab, cluster, token, tokenCluster string) (context.Context, *grpc.ClientConn) {
	t.Helper()
	root := l.kubectl(t, cluster, "get", "configmap", "-n", "sample", "istio-ca-root-cert", "-o=jsonpath={.data.root-cert\\.pem}")
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(root)) {
		t.Fatalf("no certificate in %q", root)
	}
	conn, err := grpc.NewClient(forward(t, l, cluster), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: pool, ServerName: "istiod.istio-system.svc",
	})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token, "clusterid", tokenCluster)
	}
	return ctx, conn
}

var forwarding = regexp.MustCompile(`Forwarding from (127\.0\.0\.1:\d+)`)

// forward gives a local address that leads to port 15012 of a cluster's istiod while the test lasts.
func forward(t *testing.T, l *lab, cluster string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, l.find("kubectl"), "--context", cluster, "port-forward", "-n", "istio-system", "deploy/istiod", ":15012")
	cmd.Env = l.env
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	line := make([]byte, 256)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	m := forwarding.FindSubmatch(line[:n])
	if m == nil {
		t.Fatalf("port-forward says %q", line[:n])
	}
	return string(m[1])
}

// token makes a token of an account. The control plane takes those for its own audience.
func (l *lab) token(t *testing.T, cluster, namespace, account, audience string) string {
	t.Helper()
	return strings.TrimSpace(l.kubectl(t, cluster, "create", "token", account, "-n", namespace, "--audience", audience))
}

// certificatesOfOthers: the authority signs for whom the token is of, whatever the request says, and for nobody without one
// that the caller's own cluster vouches for.
func certificatesOfOthers(t *testing.T, l *lab) {
	sleep := l.token(t, "cluster1", "sample", "sleep", "istio-ca")
	tries := []struct {
		name, token, cluster string
		want                 codes.Code
	}{
		{"the token of the account", sleep, "cluster1", codes.OK},
		{"a token of the other cluster", l.token(t, "cluster2", "sample", "sleep", "istio-ca"), "cluster2", codes.OK},
		{"no token", "", "", codes.Unauthenticated},
		{"a token for somebody else", l.token(t, "cluster1", "sample", "sleep", "https://kubernetes.default.svc"), "cluster1", codes.Unauthenticated},
		{"a token in the name of the other cluster", sleep, "cluster2", codes.Unauthenticated},
		{"a token of a cluster that nobody knows", sleep, "cluster9", codes.Unauthenticated},
		{"a token that is none", "e30.e30.e30", "cluster1", codes.Unauthenticated},
	}
	csr := requestFor(t, "spiffe://cluster.local/ns/istio-system/sa/istiod")
	for _, try := range tries {
		t.Run(try.name, func(t *testing.T) {
			ctx, conn := dialControlPlane(t, l, "cluster1", try.token, try.cluster)
			answer, err := securityv1alpha1.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx,
				&securityv1alpha1.IstioCertificateRequest{Csr: csr, ValidityDuration: 600})
			if status.Code(err) != try.want {
				t.Fatalf("error %v, want %s", err, try.want)
			}
			if try.want == codes.OK {
				wantURI(t, answer.GetCertChain(), "spiffe://cluster.local/ns/sample/sa/sleep")
			}
		})
	}
}

// incompleteAuthority: a Secret cacerts that lacks a file is refused by the file's name, and the authority stays as it is.
func incompleteAuthority(t *testing.T, l *lab) {
	patch := func(operation string) {
		l.kubectl(t, "cluster1", "patch", "secret", "cacerts", "-n", "istio-system", "--type=json", "-p", "["+operation+"]")
	}
	chain := l.kubectl(t, "cluster1", "get", "secret", "cacerts", "-n", "istio-system", "-o=jsonpath={.data.cert-chain\\.pem}")
	patch(`{"op":"remove","path":"/data/cert-chain.pem"}`)
	defer patch(fmt.Sprintf(`{"op":"add","path":"/data/cert-chain.pem","value":%q}`, chain))
	eventually(t, time.Minute, "istiod names the file", func() error {
		logs := l.kubectl(t, "cluster1", "logs", "-n", "istio-system", "deploy/istiod", "--since=2m")
		if !strings.Contains(logs, "cert-chain.pem: missing") {
			return errors.New(logs)
		}
		return nil
	})
	ctx, conn := dialControlPlane(t, l, "cluster1", l.token(t, "cluster1", "sample", "sleep", "istio-ca"), "cluster1")
	answer, err := securityv1alpha1.NewIstioCertificateServiceClient(conn).CreateCertificate(ctx,
		&securityv1alpha1.IstioCertificateRequest{Csr: requestFor(t, "spiffe://cluster.local/ns/sample/sa/sleep"), ValidityDuration: 600})
	if err != nil {
		t.Fatal(err)
	}
	root := l.kubectl(t, "cluster1", "get", "configmap", "-n", "sample", "istio-ca-root-cert", "-o=jsonpath={.data.root-cert\\.pem}")
	if signed := answer.GetCertChain(); strings.TrimSpace(signed[len(signed)-1]) != strings.TrimSpace(root) {
		t.Errorf("the certificate leads to another root than the namespaces have")
	}
}

// requestFor is a request to sign an identity.
func requestFor(t *testing.T, identity string) string {
	t.Helper()
	key, err := certs.NewKey(rand.Reader, certs.P256)
	if err != nil {
		t.Fatal(err)
	}
	uri, err := url.Parse(identity)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{uri}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func wantURI(t *testing.T, chain []string, want string) {
	t.Helper()
	if len(chain) == 0 {
		t.Fatal("no certificate")
	}
	block, _ := pem.Decode([]byte(chain[0]))
	if block == nil {
		t.Fatalf("no certificate in %q", chain[0])
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if len(cert.URIs) != 1 || cert.URIs[0].String() != want {
		t.Errorf("the certificate is for %v, want %s", cert.URIs, want)
	}
}

// configurationOfOthers: discovery serves a proxy as the account of its token, in its own namespace, and as nobody else.
func configurationOfOthers(t *testing.T, l *lab) {
	token := l.token(t, "cluster1", "sample", "sleep", "istio-ca")
	tries := []struct {
		name, token, namespace, account string
		want                            codes.Code
	}{
		{"itself", token, "sample", "sleep", codes.OK},
		{"another namespace", token, "proto", "sleep", codes.PermissionDenied},
		{"another account", token, "sample", "default", codes.PermissionDenied},
		{"without a token", "", "sample", "sleep", codes.Unauthenticated},
	}
	for _, try := range tries {
		t.Run(try.name, func(t *testing.T) {
			ctx, conn := dialControlPlane(t, l, "cluster1", try.token, "cluster1")
			stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
			if err != nil {
				t.Fatal(err)
			}
			// What a refused stream says comes with the answer.
			_ = stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: translate.ClusterType, Node: node(try.namespace, try.account)})
			answer, err := stream.Recv()
			if status.Code(err) != try.want {
				t.Fatalf("error %v, want %s", err, try.want)
			}
			if try.want == codes.OK && len(answer.GetResources()) == 0 {
				t.Error("the answer is empty")
			}
		})
	}
}

func node(namespace, account string) *core.Node {
	return &core.Node{
		Id: fmt.Sprintf("sidecar~10.0.0.1~tried-0.%s~%s.svc.cluster.local", namespace, namespace),
		Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
			"NAMESPACE": structpb.NewStringValue(namespace), "SERVICE_ACCOUNT": structpb.NewStringValue(account),
			"CLUSTER_ID": structpb.NewStringValue("cluster1"),
		}},
	}
}
