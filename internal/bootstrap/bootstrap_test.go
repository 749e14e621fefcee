package bootstrap

import (
	"path/filepath"
	"strings"
	"testing"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	statsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stats/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/isthmus-mesh/isthmus/internal/envoytest"
)

var podEnv = []string{
	"POD_NAME=curl-1", "POD_NAMESPACE=sample", "SERVICE_ACCOUNT=curl", "INSTANCE_IP=10.0.0.7,fd00::7", "TRUST_DOMAIN=mesh.example",
	"ISTIO_META_CLUSTER_ID=cluster1", "ISTIO_META_NETWORK=network1", "ISTIO_META_WORKLOAD_NAME=curl",
	`ISTIO_META_POD_PORTS=[{"containerPort":80}]`, `ISTIO_METAJSON_PLATFORM_METADATA={"a":"b"}`, "ISTIO_META_DNS_CAPTURE=true",
	`PROXY_CONFIG={"discoveryAddress":"istiod.mesh.svc:15012","concurrency":2,"terminationDrainDuration":"7s","aFieldOfTomorrow":1}`,
}

const (
	podLabels      = "app=\"curl\"\npod-template-hash=\"5d\"\ntopology.kubernetes.io/region=\"r1\"\ntopology.kubernetes.io/zone=\"z1\"\n"
	podAnnotations = "note=\"two\\nlines\"\nkubectl.kubernetes.io/last-applied-configuration=\"{}\"\n"
)

func parse(t *testing.T, kind Kind) Facts {
	t.Helper()
	f, err := ParseFacts(kind, podEnv, podLabels, podAnnotations)
	if err != nil {
		t.Fatal(err)
	}
	f.Version = "0.1.0"
	return f
}

func TestNodeTellsWhoTheProxyIs(t *testing.T) {
	t.Parallel()
	node, err := Node(parse(t, Sidecar))
	if err != nil {
		t.Fatal(err)
	}
	if want := "sidecar~10.0.0.7~curl-1.sample~sample.svc.cluster.local"; node.Id != want {
		t.Errorf("node ID %s, want %s", node.Id, want)
	}
	if node.Cluster != "curl.sample" || node.Locality.GetRegion() != "r1" || node.Locality.GetZone() != "z1" {
		t.Errorf("node cluster %s, locality %v", node.Cluster, node.Locality)
	}
	want := map[string]any{
		"NAME": "curl-1", "NAMESPACE": "sample", "SERVICE_ACCOUNT": "curl", "INSTANCE_IPS": "10.0.0.7,fd00::7",
		"CLUSTER_ID": "cluster1", "NETWORK": "network1", "WORKLOAD_NAME": "curl", "ISTIO_VERSION": "0.1.0",
		"POD_PORTS": `[{"containerPort":80}]`, "DNS_CAPTURE": "true",
		"PLATFORM_METADATA": map[string]any{"a": "b"},
		"LABELS":            map[string]any{"app": "curl", "topology.kubernetes.io/region": "r1", "topology.kubernetes.io/zone": "z1"},
		"ANNOTATIONS":       map[string]any{"note": "two\nlines"},
		"PROXY_CONFIG": map[string]any{
			"discoveryAddress": "istiod.mesh.svc:15012", "concurrency": 2.0, "terminationDrainDuration": "7s",
		},
	}
	if diff := cmp.Diff(want, node.Metadata.AsMap()); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

func TestFactsHaveDefaultsOutsideAPod(t *testing.T) {
	t.Parallel()
	f, err := ParseFacts(Router, []string{"POD_NAMESPACE=ns"}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	got := []string{f.TrustDomain, f.Domain, f.ClusterID(), f.Config.DiscoveryAddress, f.NodeCluster()}
	want := []string{"cluster.local", "ns.svc.cluster.local", "Kubernetes", "istiod.istio-system.svc:15012", "istio-proxy.ns"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if f.CapturesDNS() {
		t.Error("a gateway captures no DNS")
	}
}

func TestWrongFactsAreRefused(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, env, labels, want string }{
		{"proxy config", `PROXY_CONFIG={"concurrency":"many"}`, "", "PROXY_CONFIG"},
		{"labels without quotes", "", "app=curl", "pod labels"},
		{"labels without value", "", "app", "pod labels"},
	}
	for _, c := range cases {
		if _, err := ParseFacts(Sidecar, []string{c.env}, c.labels, ""); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that names %q", c.name, err, c.want)
		}
	}
	f := parse(t, Sidecar)
	f.MetaJSON["BROKEN"] = "{"
	if _, err := Metadata(f); err == nil || !strings.Contains(err.Error(), "ISTIO_METAJSON_BROKEN") {
		t.Errorf("error %v, want one that names the variable", err)
	}
}

func TestEnvoyTakesTheBootstrap(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{Sidecar, Router} {
		envoytest.Validate(t, build(t, kind))
	}
}

// Proves that the check above can fail.
func TestEnvoyRefusesABrokenBootstrap(t *testing.T) {
	t.Parallel()
	b := build(t, Sidecar)
	b.StaticResources.Listeners[0].FilterChains[0].Filters[0].Name = "no.such.filter"
	b.StaticResources.Listeners[0].FilterChains[0].Filters[0].ConfigType = nil
	if err := envoytest.Check(t, b); err == nil {
		t.Error("Envoy took a filter that does not exist")
	}
}

func TestJSONIsWhatEnvoyReads(t *testing.T) {
	t.Parallel()
	b := build(t, Sidecar)
	text, err := JSON(b)
	if err != nil {
		t.Fatal(err)
	}
	again := &bootstrapv3.Bootstrap{}
	if err := protojson.Unmarshal(text, again); err != nil {
		t.Fatal(err)
	}
	if again.Node.Id != b.Node.Id || len(again.StaticResources.Clusters) != 4 {
		t.Errorf("the JSON lost something: %s", text)
	}
}

// The request for metrics is itself logged by a stats access logger, whose names must come out without a prefix.
func TestMetricNamesHaveNoPrefix(t *testing.T) {
	t.Parallel()
	b := build(t, Sidecar)
	b.DynamicResources = nil // no control plane here, so Envoy would never be live
	b.StaticResources.Listeners = nil
	listener := passOn("127.0.0.1", 0, "stats", "/", UpstreamPrometheus)
	addStatsLogger(t, listener.FilterChains[0].Filters[0])
	b.StaticResources.Listeners = append(b.StaticResources.Listeners, listener)
	b.StaticResources.Clusters[0] = staticUpstream(UpstreamPrometheus, tcpAddress(loopback, 1))
	envoy := envoytest.Start(t, b)
	envoy.AwaitLive(t)
	address := envoy.ListenerAddress(t, listener.Name)
	envoytest.Request(t, "http://"+address+"/")
	envoy.Await(t, "the request is counted", func() error {
		return envoytest.Contains(envoy.Get(t, "/stats/prometheus"), "\nistio_requests_total{reporter=\"source\"} 1")
	})
}

func addStatsLogger(t *testing.T, filter *listenerv3.Filter) {
	t.Helper()
	manager := &hcmv3.HttpConnectionManager{}
	if err := filter.GetTypedConfig().UnmarshalTo(manager); err != nil {
		t.Fatal(err)
	}
	manager.AccessLog = []*accesslogv3.AccessLog{{
		Name: "stats",
		ConfigType: &accesslogv3.AccessLog_TypedConfig{TypedConfig: typed(&statsv3.Config{
			StatsScope: &typev3.Scope{Prefix: MetricNamespace},
			Counters: []*statsv3.Config_Counter{{
				Stat: &statsv3.Config_Stat{
					Name: "istio_requests_total",
					Tags: []*statsv3.Config_Tag{{Name: "reporter", ValueFormat: "source"}},
				},
				ValueFixed: wrapperspb.UInt64(1),
			}},
		})},
	}}
	if err := filter.GetTypedConfig().MarshalFrom(manager); err != nil {
		t.Fatal(err)
	}
}

func build(t *testing.T, kind Kind) *bootstrapv3.Bootstrap {
	t.Helper()
	dir := t.TempDir()
	b, err := Build(parse(t, kind), Layout{
		XDSSocket: filepath.Join(dir, "XDS"), SDSSocket: filepath.Join(dir, "sds"), Bind: "127.0.0.1",
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
