package xds

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/isthmus-mesh/isthmus/internal/view"
)

func TestParseNode(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		id   string
		meta map[string]any
		want view.Proxy
		bad  bool
	}{
		{
			name: "sidecar",
			id:   "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local",
			meta: map[string]any{
				"NAMESPACE": "shop", "CLUSTER_ID": "cluster1", "NETWORK": "network1", "SERVICE_ACCOUNT": "web",
				"LABELS": map[string]any{"app": "web", "odd": 7}, "INTERCEPTION_MODE": "NONE", "ISTIO_VERSION": "1.31.1",
				"REQUESTED_NETWORK_VIEW": "network1,network2", "UNHEARD_OF": []any{true},
			},
			want: view.Proxy{
				Namespace: "shop", Name: "web-1", Cluster: "cluster1", Network: "network1", ServiceAccount: "web",
				Labels: map[string]string{"app": "web"}, NoCapture: true, Version: "1.31.1", RequestedView: "network1,network2",
			},
		},
		{name: "gateway without metadata", id: "router~10.0.0.1~gw.edge~edge.svc.cluster.local", want: view.Proxy{Kind: view.Gateway, Namespace: "edge", Name: "gw"}},
		{name: "empty", bad: true},
		{name: "three parts", id: "sidecar~10.0.0.1~web.shop", bad: true},
		{name: "waypoint", id: "waypoint~10.0.0.1~web.shop~shop.svc.cluster.local", bad: true},
		{name: "no name", id: "sidecar~10.0.0.1~.shop~shop.svc", bad: true},
		{name: "no namespace", id: "sidecar~10.0.0.1~web~", bad: true},
		{name: "too large", id: "sidecar~10.0.0.1~web.shop~shop.svc", meta: map[string]any{"X": string(make([]byte, maxNode))}, bad: true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			meta, err := structpb.NewStruct(tc.meta)
			if err != nil {
				t.Fatal(err)
			}
			got, err := parseNode(&corev3.Node{Id: tc.id, Metadata: meta})
			if (err != nil) != tc.bad {
				t.Fatalf("error %v, want one: %t", err, tc.bad)
			}
			if diff := cmp.Diff(tc.want, got); !tc.bad && diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// FuzzFirstRequest takes the bytes of a first request as a server does, up to the watch that they start.
func FuzzFirstRequest(f *testing.F) {
	for _, r := range []*discoveryv3.DeltaDiscoveryRequest{
		{Node: node("p", "default"), TypeUrl: typeCluster},
		{Node: node("p", "default"), TypeUrl: typeEndpoint, ResourceNamesSubscribe: []string{"a", "*"}, InitialResourceVersions: map[string]string{"b": "1"}},
		{Node: &corev3.Node{Id: "sidecar~~~"}, TypeUrl: debugPrefix},
		{Node: &corev3.Node{Id: "router~1.2.3.4~.~."}, ResponseNonce: "1", ResourceNamesUnsubscribe: []string{"*"}},
	} {
		b, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	sets := []held{{shared: &shared{}, set: set(view.Upstreams, content{"a": 1, "b": 2})}}
	f.Fuzz(func(t *testing.T, b []byte) {
		var r discoveryv3.DeltaDiscoveryRequest
		if proto.Unmarshal(b, &r) != nil {
			t.Skip()
		}
		p, err := parseNode(r.GetNode())
		if err == nil && (p.Namespace == "" || p.Name == "") {
			t.Errorf("node %v makes a proxy without a name: %+v", r.GetNode(), p)
		}
		w := &watch{typeURL: r.GetTypeUrl(), fresh: true}
		w.delta(&request{
			typeURL: r.GetTypeUrl(), subscribe: r.GetResourceNamesSubscribe(),
			unsubscribe: r.GetResourceNamesUnsubscribe(), versions: r.GetInitialResourceVersions(),
		}, nil)
		c := w.compare(sets)
		for _, name := range c.removed {
			if c.names().has(name) {
				t.Errorf("%s is sent and removed", name)
			}
		}
	})
}
