package translate

import (
	"strings"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	http "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// Servers of gRPC end connections on which a client pings now and then without asking for anything, and whatever is under
// way on them. Between the sidecar and the application of one pod there is no link that a ping could find cut.
func TestNobodyIsPingedWithoutARequest(t *testing.T) {
	t.Parallel()
	s := world(1)
	for _, ns := range s.Namespaces {
		for _, svc := range ns.Services {
			svc.Ports = append(svc.Ports, model.Port{Name: "grpc", Number: 9090, Protocol: model.GRPC})
		}
	}
	workload := &model.Workload{Inbound: []model.Inbound{{TargetPort: 9090, ServicePort: model.Port{Number: 9090, Protocol: model.GRPC}}}}
	sets := []*Set{
		Generator{}.Build(s, view.Class{Part: view.Upstreams}, nil),
		Generator{}.Build(s, view.Class{Part: view.InboundUpstreams, Workload: view.InboundText(workload)}, nil),
	}
	pinged := 0
	for _, set := range sets {
		for _, r := range set.All() {
			pings := http2Of(t, r).GetConnectionKeepalive()
			if pings.GetInterval() != nil {
				t.Errorf("%s: pings every %s", r.Name, pings.GetInterval().AsDuration())
			}
			if pings != nil {
				pinged++
			}
			if pings != nil && !strings.HasPrefix(r.Name, "outbound|") {
				t.Errorf("%s: pings an application", r.Name)
			}
		}
	}
	if pinged == 0 {
		t.Error("nothing would notice that the link to a service of HTTP/2 is cut")
	}
}

// http2Of is how an upstream speaks HTTP/2, nil if it does not.
func http2Of(t *testing.T, r *Resource) *core.Http2ProtocolOptions {
	t.Helper()
	var body anypb.Any
	var c cluster.Cluster
	if err := proto.Unmarshal(r.Any, &body); err != nil {
		t.Fatal(err)
	}
	if err := body.UnmarshalTo(&c); err != nil {
		t.Fatal(err)
	}
	options := &http.HttpProtocolOptions{}
	for _, option := range c.GetTypedExtensionProtocolOptions() {
		if err := option.UnmarshalTo(options); err != nil {
			t.Fatal(err)
		}
	}
	if same := options.GetUseDownstreamProtocolConfig(); same != nil {
		return same.GetHttp2ProtocolOptions()
	}
	return options.GetExplicitHttpConfig().GetHttp2ProtocolOptions()
}
