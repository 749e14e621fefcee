package sds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretv3 "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

// The secrets that Envoy can ask for, and their type.
const (
	Workload = "default" // certificate chain and key
	Root     = "ROOTCA"  // roots to check peers with

	TypeURL = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
)

// Server hands the keeper's secret to Envoy as SDS, and every renewed one on the streams that are open.
// https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/security/secret
type Server struct {
	secretv3.UnimplementedSecretDiscoveryServiceServer
	keeper *Keeper
}

// NewServer serves what a keeper keeps.
func NewServer(k *Keeper) *Server { return &Server{keeper: k} }

// Serve answers on a listener, a Unix socket in a pod, until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := grpc.NewServer()
	secretv3.RegisterSecretDiscoveryServiceServer(server, s)
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	if err := server.Serve(l); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve secrets: %w", err)
	}
	return nil
}

// StreamSecrets is the state-of-the-world protocol; Envoy opens a stream for each secret.
func (s *Server) StreamSecrets(stream secretv3.SecretDiscoveryService_StreamSecretsServer) error {
	requests := make(chan *discoveryv3.DiscoveryRequest)
	failed := make(chan error, 1)
	go receive(stream, requests, failed)

	var names []string // what the stream wants
	var sent *Secret   // what it has been told
	version := 0       // counts answers; also the nonce
	for {
		secret, changed := s.keeper.Current()
		// Without a secret the request waits: Envoy's listeners wait with it, which is what readiness should say.
		if secret != nil && secret != sent && len(names) > 0 {
			version++
			if err := send(stream, secret, names, strconv.Itoa(version)); err != nil {
				return err
			}
			sent = secret
		}
		// What can happen: a request, a new secret, the end.
		select {
		case req := <-requests:
			wanted, err := s.wanted(req)
			if err != nil {
				return err
			}
			stale := req.GetResponseNonce() != "" && req.GetResponseNonce() != strconv.Itoa(version)
			if !stale && !slices.Equal(names, wanted) {
				names, sent = wanted, nil
			}
		case <-changed:
		case err := <-failed:
			return err
		}
	}
}

// wanted is the names of a request, which may also be Envoy's answer to the last push.
func (s *Server) wanted(req *discoveryv3.DiscoveryRequest) ([]string, error) {
	if detail := req.GetErrorDetail(); detail != nil {
		s.keeper.o.Log.Warn("Envoy rejects a secret", "names", req.GetResourceNames(), "err", detail.GetMessage())
	}
	for _, name := range req.GetResourceNames() {
		if name != Workload && name != Root {
			return nil, status.Errorf(codes.InvalidArgument, "no secret is named %q; there are %s and %s", name, Workload, Root)
		}
	}
	return req.GetResourceNames(), nil
}

func receive(stream secretv3.SecretDiscoveryService_StreamSecretsServer, requests chan<- *discoveryv3.DiscoveryRequest, failed chan<- error) {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			err = nil
		}
		if req == nil {
			failed <- err
			return
		}
		select {
		case requests <- req:
		case <-stream.Context().Done():
			failed <- nil
			return
		}
	}
}

func send(stream secretv3.SecretDiscoveryService_StreamSecretsServer, secret *Secret, names []string, version string) error {
	res := &discoveryv3.DiscoveryResponse{TypeUrl: TypeURL, VersionInfo: version, Nonce: version}
	for _, name := range names {
		resource, err := anypb.New(message(name, secret))
		if err != nil {
			return status.Errorf(codes.Internal, "encode secret %s: %v", name, err)
		}
		res.Resources = append(res.Resources, resource)
	}
	return stream.Send(res)
}

func message(name string, secret *Secret) *tlsv3.Secret {
	if name == Root {
		return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{
			ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(secret.Roots)},
		}}
	}
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{
		TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: inline(secret.Chain), PrivateKey: inline(secret.Key)},
	}}
}

func inline(b []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
}
