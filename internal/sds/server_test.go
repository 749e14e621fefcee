package sds

import (
	"bytes"
	"net"
	"path/filepath"
	"testing"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

func newServer(t *testing.T) (*Keeper, secretv3.SecretDiscoveryService_StreamSecretsClient) {
	t.Helper()
	k := NewKeeper(Options{Identity: identity, Sign: newAuthority(t).sign})
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- NewServer(k).Serve(t.Context(), l) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	stream, err := secretv3.NewSecretDiscoveryServiceClient(conn).StreamSecrets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return k, stream
}

type asker struct {
	t      *testing.T
	stream secretv3.SecretDiscoveryService_StreamSecretsClient
	last   *discoveryv3.DiscoveryResponse
}

// ask sends a request for names, as an answer to the last response.
func (a *asker) ask(names ...string) {
	a.t.Helper()
	err := a.stream.Send(&discoveryv3.DiscoveryRequest{
		TypeUrl: TypeURL, ResourceNames: names, VersionInfo: a.last.GetVersionInfo(), ResponseNonce: a.last.GetNonce(),
	})
	if err != nil {
		a.t.Fatal(err)
	}
}

func (a *asker) receive() []*tlsv3.Secret {
	a.t.Helper()
	res, err := a.stream.Recv()
	if err != nil {
		a.t.Fatal(err)
	}
	a.last = res
	var out []*tlsv3.Secret
	for _, resource := range res.GetResources() {
		s := &tlsv3.Secret{}
		if err := resource.UnmarshalTo(s); err != nil {
			a.t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func TestRequestWaitsForTheFirstCertificateAndGetsEveryLaterOne(t *testing.T) {
	t.Parallel()
	k, stream := newServer(t)
	a := &asker{t: t, stream: stream}
	a.ask(Workload)
	for range 3 {
		if err := k.renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		now, _ := k.Current()
		got := a.receive()
		if len(got) != 1 || !bytes.Equal(got[0].GetTlsCertificate().GetCertificateChain().GetInlineBytes(), now.Chain) ||
			!bytes.Equal(got[0].GetTlsCertificate().GetPrivateKey().GetInlineBytes(), now.Key) {
			t.Fatalf("got %v, want the certificate in use", got)
		}
		a.ask(Workload) // acknowledges; an answer to it would arrive before the next certificate
	}
}

func TestRootsAreTheAuthoritys(t *testing.T) {
	t.Parallel()
	k, stream := newServer(t)
	if err := k.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := &asker{t: t, stream: stream}
	a.ask(Root, Workload)
	got := a.receive()
	now, _ := k.Current()
	if len(got) != 2 || got[0].GetName() != Root || !bytes.Equal(got[0].GetValidationContext().GetTrustedCa().GetInlineBytes(), now.Roots) {
		t.Errorf("got %v, want the roots first", got)
	}
}

func TestUnknownSecretEndsTheStream(t *testing.T) {
	t.Parallel()
	_, stream := newServer(t)
	(&asker{t: t, stream: stream}).ask("file-cert:none")
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("error %v, want InvalidArgument", err)
	}
}
