package xds_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/isthmus-mesh/isthmus/internal/envoytest"
	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/translate"
	"github.com/isthmus-mesh/isthmus/internal/xds"
)

// issued is a certificate made for a test, which is its own authority.
type issued struct {
	leaf      *x509.Certificate
	chain     string
	key       string
	presented tls.Certificate
}

func issue(t *testing.T, name string) issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := issued{
		chain: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		key:   string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})),
	}
	if c.leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	c.presented = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return c
}

// credential is a Secret with a certificate; clients must come from the authority, if one is given.
func credential(of issued, clients ...issued) *model.Credential {
	c := &model.Credential{Certificates: of.chain, Key: model.PrivateKey(of.key)}
	for _, authority := range clients {
		c.Roots += authority.chain
	}
	return c
}

// edge is a gateway on the real Envoy, which a discovery server on loopback configures.
type edge struct {
	t        *testing.T
	envoy    *envoytest.Envoy
	server   *xds.Server
	address  string // of the port with TLS
	revision uint64
}

// publish gives the gateway's namespace the given Secrets.
func (e *edge) publish(credentials map[string]*model.Credential) {
	e.revision++
	e.server.Publish(ingress(e.revision, credentials))
}

// ingress is a mesh with one gateway pod and a Gateway with servers that end TLS on one port, which the kernel chooses.
func ingress(revision uint64, credentials map[string]*model.Credential) *model.Snapshot {
	labels := map[string]string{"istio": "ingress"}
	port := model.Port{Name: "https", Number: 443, Protocol: model.HTTP}
	server := func(host, secret string, mode model.TLSMode) model.GatewayServer {
		return model.GatewayServer{Port: port, Hosts: []string{host}, HostNamespaces: []string{""}, TLS: mode, CredentialName: secret}
	}
	ns := &model.Namespace{
		Name: "edge", Credentials: credentials,
		Workloads: map[model.WorkloadKey]*model.Workload{{Cluster: "cluster1", Name: "gateway"}: {
			Cluster: "cluster1", Namespace: "edge", Name: "gateway", ServiceAccount: "gateway", Labels: labels,
			Inbound: []model.Inbound{{TargetPort: 0, ServicePort: port, Service: "gateway.edge.svc.cluster.local"}},
		}},
		Gateways: []*model.Gateway{{
			Namespace: "edge", Name: "shop", Selector: labels, Servers: []model.GatewayServer{
				server("simple.example.com", "simple", model.Simple),
				server("mutual.example.com", "mutual", model.Mutual),
				server("late.example.com", "late", model.Simple),
				server("rootless.example.com", "rootless", model.Mutual),
			},
		}},
	}
	return &model.Snapshot{
		Revision: revision, Gateways: &model.NetworkGateways{},
		Mesh: &model.Mesh{
			TrustDomain: "cluster.local", Domain: "cluster.local", RootNamespace: "istio-system", Cluster: "cluster1",
			ConnectTimeout: 10 * time.Second,
		},
		Namespaces: map[string]*model.Namespace{"edge": ns},
	}
}

func startEdge(t *testing.T, credentials map[string]*model.Credential) *edge {
	t.Helper()
	e := &edge{t: t, server: xds.New(xds.Options{Generator: translate.Generator{}})}
	e.publish(credentials)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(e.server.ServerOptions()...)
	e.server.Register(server)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	e.envoy = envoytest.Start(t, discoveredBy(t, l.Addr().(*net.TCPAddr).Port))
	e.envoy.AwaitLive(t)
	_, bound, err := net.SplitHostPort(e.envoy.ListenerAddress(t, "0.0.0.0_0"))
	if err != nil {
		t.Fatal(err)
	}
	e.address = net.JoinHostPort("127.0.0.1", bound)
	return e
}

// discoveredBy is the bootstrap of a gateway that has everything from a discovery server on a port of loopback.
func discoveredBy(t *testing.T, port int) *bootstrapv3.Bootstrap {
	t.Helper()
	http2, err := anypb.New(&httpv3.HttpProtocolOptions{UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
		ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	address := &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
	ads := &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}, ResourceApiVersion: corev3.ApiVersion_V3,
	}
	text := structpb.NewStringValue
	return &bootstrapv3.Bootstrap{
		Node: &corev3.Node{
			Id: "router~127.0.0.1~gateway.edge~edge.svc.cluster.local", Cluster: "gateway.edge",
			Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
				"CLUSTER_ID": text("cluster1"), "NAMESPACE": text("edge"), "SERVICE_ACCOUNT": text("gateway"),
				"LABELS": structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"istio": text("ingress")}}),
			}},
		},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{{
			Name: "xds", ConnectTimeout: durationpb.New(5 * time.Second),
			ClusterDiscoveryType:          &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
			TypedExtensionProtocolOptions: map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
			LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: "xds", Endpoints: []*endpointv3.LocalityLbEndpoints{{
				LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
					Endpoint: &endpointv3.Endpoint{Address: address},
				}}},
			}}},
		}}},
		DynamicResources: &bootstrapv3.Bootstrap_DynamicResources{
			LdsConfig: ads, CdsConfig: ads,
			AdsConfig: &corev3.ApiConfigSource{
				ApiType: corev3.ApiConfigSource_DELTA_GRPC, TransportApiVersion: corev3.ApiVersion_V3,
				GrpcServices: []*corev3.GrpcService{{TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
					EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: "xds"},
				}}},
			},
		},
	}
}

// client sends requests to a host of the gateway over connections of its own, which it keeps.
func (e *edge) client(host string, roots issued, certificates ...tls.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(roots.leaf)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: host, Certificates: certificates},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, e.address)
		},
	}
	e.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// get sends one request, which no route takes: 404 says that it came through.
func get(client *http.Client, host string) error {
	res, err := client.Get("https://" + host + "/")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNotFound {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}

func TestEnvoyServesTheCertificatesOfSecrets(t *testing.T) {
	t.Parallel()
	simple, mutual, clients, stranger := issue(t, "simple.example.com"), issue(t, "mutual.example.com"), issue(t, "client"), issue(t, "client")
	rootless := issue(t, "rootless.example.com")
	secrets := map[string]*model.Credential{
		"simple": credential(simple), "mutual": credential(mutual, clients), "rootless": credential(rootless, clients),
		"rootless-cacert": {}, // is there, and holds nothing of use
	}
	e := startEdge(t, secrets)

	// The server whose Secret is missing held nobody up: Envoy was not live because it had waited long enough.
	if err := envoytest.Contains(e.envoy.Get(t, "/stats?filter=sds"), "late.init_fetch_timeout: 0"); err != nil {
		t.Error(err)
	}
	for _, line := range strings.Split(e.envoy.Get(t, "/stats?filter=init_fetch_timeout"), "\n") {
		if name, count, ok := strings.Cut(line, ": "); ok && count != "0" {
			t.Errorf("Envoy waited in vain: %s %s", name, count)
		}
	}
	if err := get(e.client("simple.example.com", simple), "simple.example.com"); err != nil {
		t.Errorf("SIMPLE: %v", err)
	}
	late := issue(t, "late.example.com")
	if err := get(e.client("late.example.com", late), "late.example.com"); err == nil {
		t.Error("the server without a Secret answered")
	}

	for name, certificates := range map[string][]tls.Certificate{"no certificate": nil, "one of another authority": {stranger.presented}} {
		if err := get(e.client("mutual.example.com", mutual, certificates...), "mutual.example.com"); err == nil {
			t.Errorf("MUTUAL took a client with %s", name)
		}
	}
	if err := get(e.client("mutual.example.com", mutual, clients.presented), "mutual.example.com"); err != nil {
		t.Errorf("MUTUAL: %v", err)
	}
	for name, certificates := range map[string][]tls.Certificate{"no certificate": nil, "a certificate": {clients.presented}} {
		if err := get(e.client("rootless.example.com", rootless, certificates...), "rootless.example.com"); err == nil {
			t.Errorf("MUTUAL without authorities took a client with %s", name)
		}
	}

	// A Secret that comes late is taken up.
	secrets["late"] = credential(late)
	e.publish(secrets)
	e.envoy.Await(t, "the late certificate is served", func() error {
		return get(e.client("late.example.com", late), "late.example.com")
	})
}

func TestEnvoyTakesUpRotatedSecretsWithoutADrop(t *testing.T) {
	t.Parallel()
	const host, other = "simple.example.com", "late.example.com"
	first, second, late := issue(t, host), issue(t, host), issue(t, other)
	e := startEdge(t, map[string]*model.Credential{"simple": credential(first), "late": credential(late)})
	kept := e.client(host, first)
	if err := get(kept, host); err != nil {
		t.Fatal(err)
	}

	e.publish(map[string]*model.Credential{"simple": credential(second), "late": credential(late)})
	e.envoy.Await(t, "the rotated certificate is served", func() error {
		return get(e.client(host, second), host)
	})
	// The client knows the first certificate only, so this goes over the connection from before.
	if err := get(kept, host); err != nil {
		t.Errorf("the connection from before the rotation is lost: %v", err)
	}

	// What is deleted stays in use, as long as the gateway runs. The second secret tells when the change has arrived.
	renewed := issue(t, other)
	e.publish(map[string]*model.Credential{"late": credential(renewed)})
	e.envoy.Await(t, "the other certificate is served", func() error {
		return get(e.client(other, renewed), other)
	})
	if err := get(e.client(host, second), host); err != nil {
		t.Errorf("after its Secret was deleted: %v", err)
	}
	for _, drains := range []string{"listener_manager.lds.update_rejected", "listener_manager.listener_modified", "listener_manager.listener_in_place_updated"} {
		if err := envoytest.Contains(e.envoy.Get(t, "/stats?filter="+drains), drains+": 0"); err != nil {
			t.Error(err)
		}
	}
}
