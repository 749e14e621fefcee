package agent

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	securityv1alpha1 "istio.io/api/security/v1alpha1"
)

const testToken = "a-token-of-the-test"

// fakeControlPlane serves discovery and certificates over TLS on loopback, to callers with the right token only. It sends the same
// resources to whoever asks.
type fakeControlPlane struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	securityv1alpha1.UnimplementedIstioCertificateServiceServer
	address   string
	root      *x509.Certificate
	key       *ecdsa.PrivateKey
	resources map[string][]proto.Message // by type URL

	mu    sync.Mutex // guards nodes
	nodes []string   // IDs of the proxies seen
}

func startControlPlane(t *testing.T, resources map[string][]proto.Message) *fakeControlPlane {
	t.Helper()
	f := &fakeControlPlane{resources: resources}
	var err error
	if f.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	rootDER := f.certificate(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, f.key.Public())
	if f.root, err = x509.ParseCertificate(rootDER); err != nil {
		t.Fatal(err)
	}
	own := f.certificate(t, &x509.Certificate{DNSNames: []string{defaultServerName}}, f.key.Public())
	roots := x509.NewCertPool()
	roots.AddCert(f.root)
	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{{Certificate: [][]byte{own}, PrivateKey: f.key}},
			ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: roots,
		})),
		grpc.StreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := authenticate(s.Context()); err != nil {
				return err
			}
			return next(srv, s)
		}),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := authenticate(ctx); err != nil {
				return nil, err
			}
			return next(ctx, req)
		}),
	)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, f)
	securityv1alpha1.RegisterIstioCertificateServiceServer(server, f)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.address = l.Addr().String()
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return f
}

func authenticate(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if got := md.Get("authorization"); len(got) != 1 || got[0] != "Bearer "+testToken {
		return status.Errorf(codes.Unauthenticated, "authorization is %q", got)
	}
	if got := md.Get("clusterid"); len(got) != 1 || got[0] != "cluster1" {
		return status.Errorf(codes.Unauthenticated, "cluster ID is %q", got)
	}
	return nil
}

// certificate is one signed by the root, or by itself while there is no root.
func (f *fakeControlPlane) certificate(t *testing.T, template *x509.Certificate, public any) []byte {
	t.Helper()
	der, err := f.sign(template, public)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (f *fakeControlPlane) sign(template *x509.Certificate, public any) ([]byte, error) {
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	parent := f.root
	if parent == nil {
		parent = template
	}
	return x509.CreateCertificate(rand.Reader, template, parent, public, f.key)
}

func (f *fakeControlPlane) rootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.root.Raw})
}

// CreateCertificate signs for the identity that the token stands for.
func (f *fakeControlPlane) CreateCertificate(
	_ context.Context, req *securityv1alpha1.IstioCertificateRequest,
) (*securityv1alpha1.IstioCertificateResponse, error) {
	block, _ := pem.Decode([]byte(req.GetCsr()))
	if block == nil {
		return nil, errors.New("no PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	id := &url.URL{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/sample/sa/curl"}
	der, err := f.sign(&x509.Certificate{URIs: []*url.URL{id}}, csr.PublicKey)
	if err != nil {
		return nil, err
	}
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return &securityv1alpha1.IstioCertificateResponse{CertChain: []string{string(leaf), string(f.rootPEM())}}, nil
}

// DeltaAggregatedResources answers the first request of each type.
func (f *fakeControlPlane) DeltaAggregatedResources(s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	answered := map[string]bool{}
	for {
		req, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if id := req.GetNode().GetId(); id != "" {
			f.mu.Lock()
			f.nodes = append(f.nodes, id)
			f.mu.Unlock()
		}
		if answered[req.GetTypeUrl()] {
			continue
		}
		answered[req.GetTypeUrl()] = true
		if err := s.Send(f.answer(req.GetTypeUrl())); err != nil {
			return err
		}
	}
}

func (f *fakeControlPlane) answer(typeURL string) *discoveryv3.DeltaDiscoveryResponse {
	res := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: typeURL, Nonce: typeURL}
	for _, m := range f.resources[typeURL] {
		resource, ok := m.(*anypb.Any)
		if !ok {
			var err error
			if resource, err = anypb.New(m); err != nil {
				panic(err)
			}
		}
		name := "names"
		if named, ok := m.(interface{ GetName() string }); ok {
			name = named.GetName()
		}
		res.Resources = append(res.Resources, &discoveryv3.Resource{Name: name, Version: "1", Resource: resource})
	}
	return res
}

func (f *fakeControlPlane) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.nodes...)
}
