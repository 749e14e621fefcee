package relay

import (
	"net"
	"path/filepath"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/isthmus-mesh/isthmus/internal/nds"
)

const (
	clusterType = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	deltaMethod = "/" + adsService + "/DeltaAggregatedResources"
	sotwMethod  = "/" + adsService + "/StreamAggregatedResources"
)

var table = nds.Table{"helloworld.sample.svc.cluster.local": {IPs: []string{"10.1.0.1"}, Registry: nds.Kubernetes}}

// fakeControlPlane gives each stream to a test, which plays the control plane on it.
type fakeControlPlane struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	delta func(discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error
	sotw  func(discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error
}

func (f *fakeControlPlane) DeltaAggregatedResources(s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return f.delta(s)
}

func (f *fakeControlPlane) StreamAggregatedResources(s discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return f.sotw(s)
}

func (f *fakeControlPlane) serve(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, f)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
}

// start runs a relay towards a socket and opens a stream to it, as Envoy would, but with raw frames.
func start(t *testing.T, upstream, method string, names func(nds.Table)) (*Relay, grpc.ClientStream) {
	t.Helper()
	r := New(Options{Names: names, Dial: func() (*grpc.ClientConn, error) {
		return grpc.NewClient("unix:"+upstream, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}})
	path := filepath.Join(t.TempDir(), "XDS")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.Serve(t.Context(), l) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r, open(t, path, method)
}

func open(t *testing.T, path, method string) grpc.ClientStream {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method, grpc.ForceCodecV2(codec{}))
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestBytesPassUnchanged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "up")
	// The response has a field that nobody knows and is larger than gRPC's default limit.
	response := encode(&discoveryv3.DeltaDiscoveryResponse{
		TypeUrl: clusterType, Nonce: "1",
		Resources: []*discoveryv3.Resource{{Name: "big", Resource: &anypb.Any{Value: make([]byte, 8<<20)}}},
	})
	response = protowire.AppendString(protowire.AppendTag(response, 999, protowire.BytesType), "of tomorrow")
	f := &fakeControlPlane{delta: func(s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
		req, err := s.Recv()
		if err != nil {
			return err
		}
		if req.GetNode().GetId() != "envoy" || len(req.ProtoReflect().GetUnknown()) == 0 {
			t.Errorf("request changed on the way: %v", req)
		}
		res := &discoveryv3.DeltaDiscoveryResponse{}
		if err := proto.Unmarshal(response, res); err != nil {
			return err
		}
		return s.Send(res)
	}}
	f.serve(t, path)
	_, stream := start(t, path, deltaMethod, nil)
	request := stringFields(t, "envoy", clusterType)
	if err := stream.SendMsg(&frame{data: protowire.AppendVarint(protowire.AppendTag(request, 888, protowire.VarintType), 5)}); err != nil {
		t.Fatal(err)
	}
	got := &frame{}
	if err := stream.RecvMsg(got); err != nil {
		t.Fatal(err)
	}
	var a, b discoveryv3.DeltaDiscoveryResponse
	if proto.Unmarshal(response, &a) != nil || proto.Unmarshal(got.data, &b) != nil || !proto.Equal(&a, &b) || len(got.data) != len(response) {
		t.Errorf("%d bytes sent, %d different ones received", len(response), len(got.data))
	}
	if err := stream.RecvMsg(got); status.Code(err) != codes.OK && err.Error() != "EOF" {
		t.Errorf("stream ended with %v, upstream ended without an error", err)
	}
}

func stringFields(t *testing.T, id, typeURL string) []byte {
	t.Helper()
	node := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), id)
	b := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), node)
	return protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), typeURL)
}

func TestDeltaNameTableStaysInTheRelay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "up")
	answers := make(chan *discoveryv3.DeltaDiscoveryRequest, 3)
	f := &fakeControlPlane{delta: func(s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
		nameTable := func(nonce string, value []byte) *discoveryv3.DeltaDiscoveryResponse {
			return &discoveryv3.DeltaDiscoveryResponse{TypeUrl: nds.TypeURL, Nonce: nonce, Resources: []*discoveryv3.Resource{
				{Name: "names", Resource: &anypb.Any{TypeUrl: nds.TypeURL, Value: value}},
			}}
		}
		for i, res := range []*discoveryv3.DeltaDiscoveryResponse{
			nil, nameTable("good", table.Marshal()), nameTable("bad", []byte{0xff}), {TypeUrl: clusterType, Nonce: "last"},
		} {
			if res != nil {
				if err := s.Send(res); err != nil {
					return err
				}
			}
			if i == 3 {
				return nil
			}
			req, err := s.Recv()
			if err != nil {
				return err
			}
			if i == 0 { // Envoy's own; the relay's follows
				if req, err = s.Recv(); err != nil {
					return err
				}
			}
			answers <- req
		}
		return nil
	}}
	f.serve(t, path)
	tables := make(chan nds.Table, 2)
	_, stream := start(t, path, deltaMethod, func(table nds.Table) { tables <- table })
	if err := stream.SendMsg(&frame{data: stringFields(t, "envoy", clusterType)}); err != nil {
		t.Fatal(err)
	}
	got := &frame{}
	if err := stream.RecvMsg(got); err != nil || (delta{}).typeURL(got.data) != clusterType {
		t.Errorf("Envoy received type %q, error %v; want only clusters", delta{}.typeURL(got.data), err)
	}
	if diff := cmp.Diff(table, <-tables); diff != "" {
		t.Error(diff)
	}
	ignore := protocmp.IgnoreFields(&discoveryv3.DeltaDiscoveryRequest{}, "error_detail")
	for _, want := range []*discoveryv3.DeltaDiscoveryRequest{
		{TypeUrl: nds.TypeURL}, {TypeUrl: nds.TypeURL, ResponseNonce: "good"}, {TypeUrl: nds.TypeURL, ResponseNonce: "bad"},
	} {
		req := <-answers
		if diff := cmp.Diff(want, req, protocmp.Transform(), ignore); diff != "" {
			t.Error(diff)
		}
		if refused := req.GetErrorDetail() != nil; refused != (want.ResponseNonce == "bad") {
			t.Errorf("answer to %q refuses: %v", want.ResponseNonce, refused)
		}
	}
}

func TestStateOfTheWorldNameTableStaysInTheRelay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "up")
	answers := make(chan *discoveryv3.DiscoveryRequest, 2)
	f := &fakeControlPlane{sotw: func(s discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
		if _, err := s.Recv(); err != nil {
			return err
		}
		req, err := s.Recv()
		if err != nil {
			return err
		}
		answers <- req
		res := &discoveryv3.DiscoveryResponse{
			TypeUrl: nds.TypeURL, VersionInfo: "v", Nonce: "n",
			Resources: []*anypb.Any{{TypeUrl: nds.TypeURL, Value: table.Marshal()}},
		}
		if err := s.Send(res); err != nil {
			return err
		}
		if req, err = s.Recv(); err != nil {
			return err
		}
		answers <- req
		return status.Error(codes.ResourceExhausted, "enough")
	}}
	f.serve(t, path)
	tables := make(chan nds.Table, 1)
	_, stream := start(t, path, sotwMethod, func(table nds.Table) { tables <- table })
	if err := stream.SendMsg(&frame{data: encode(&discoveryv3.DiscoveryRequest{TypeUrl: clusterType})}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(table, <-tables); diff != "" {
		t.Error(diff)
	}
	for _, want := range []*discoveryv3.DiscoveryRequest{{TypeUrl: nds.TypeURL}, {TypeUrl: nds.TypeURL, VersionInfo: "v", ResponseNonce: "n"}} {
		if diff := cmp.Diff(want, <-answers, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	}
	if err := stream.RecvMsg(&frame{}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("stream ended with %v, want what the control plane said", err)
	}
}

func TestEnvoyWaitsWhileTheControlPlaneIsAway(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "up")
	ids := make(chan string, 1)
	_, stream := start(t, path, deltaMethod, nil)
	if err := stream.SendMsg(&frame{data: stringFields(t, "envoy", clusterType)}); err != nil {
		t.Fatal(err)
	}
	f := &fakeControlPlane{delta: func(s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
		req, err := s.Recv()
		if err != nil {
			return err
		}
		ids <- req.GetNode().GetId()
		return s.Send(&discoveryv3.DeltaDiscoveryResponse{TypeUrl: clusterType})
	}}
	f.serve(t, path) // only now
	if got := <-ids; got != "envoy" {
		t.Errorf("node ID %q", got)
	}
	if err := stream.RecvMsg(&frame{}); err != nil {
		t.Error(err)
	}
}

func TestEndOfEnvoysStreamEndsTheOther(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "up")
	ended := make(chan error, 1)
	began := make(chan struct{})
	f := &fakeControlPlane{delta: func(s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
		if _, err := s.Recv(); err != nil {
			return err
		}
		close(began)
		_, err := s.Recv()
		ended <- err
		return err
	}}
	f.serve(t, path)
	_, stream := start(t, path, deltaMethod, nil)
	if err := stream.SendMsg(&frame{data: stringFields(t, "envoy", clusterType)}); err != nil {
		t.Fatal(err)
	}
	<-began
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the control plane's stream goes on")
	}
}

func TestRefusalsAreSpacedOut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "up")
	f := &fakeControlPlane{delta: func(discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
		return status.Error(codes.PermissionDenied, "who are you")
	}}
	f.serve(t, path)
	r, stream := start(t, path, deltaMethod, nil)
	if err := stream.RecvMsg(&frame{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("stream ended with %v, want PermissionDenied", err)
	}
	r.pacer.mu.Lock()
	defer r.pacer.mu.Unlock()
	if r.pacer.pause != firstPause {
		t.Errorf("pause after a refusal %s, want %s", r.pacer.pause, firstPause)
	}
}

func TestFramesOnly(t *testing.T) {
	t.Parallel()
	if _, err := (codec{}).Marshal("text"); err == nil {
		t.Error("encoded a string")
	}
	if err := (codec{}).Unmarshal(nil, new(string)); err == nil {
		t.Error("decoded into a string")
	}
	if got := stringField([]byte{0x0a, 0xff}, 4); got != "" {
		t.Errorf("read %q out of broken bytes", got)
	}
}
