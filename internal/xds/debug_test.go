package xds

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func (m *mesh) get(path string) *httptest.ResponseRecorder {
	mux := http.NewServeMux()
	m.RegisterDebug(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(m.t.Context(), http.MethodGet, path, nil))
	return w
}

func synced(t *testing.T) (*mesh, *deltaClient) {
	m := started(t)
	c := m.delta("p")
	c.subscribe(typeCluster)
	c.ack(c.want(typeCluster, []string{"a", "b"}, nil))
	c.subscribe(typeEndpoint, "a")
	c.ack(c.want(typeEndpoint, []string{"a"}, nil))
	eventually(t, "the proxy is synced", func() bool {
		p := m.Proxies()
		return len(p) == 1 && len(p[0].Types) == 2 && p[0].Synced()
	})
	return m, c
}

func TestSyncz(t *testing.T) {
	t.Parallel()
	m, _ := synced(t)
	var got []map[string]any
	if err := json.Unmarshal(m.get("/debug/syncz").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	p := got[0]
	if p["proxy"] != "p.default" || p["cluster_id"] != "cluster1" || p["proxy_type"] != "sidecar" || p["istio_version"] != "1.31.0" {
		t.Errorf("proxy is %v", p)
	}
	if p["cluster_sent"] == "" || p["cluster_sent"] != p["cluster_acked"] || p["endpoint_sent"] != p["endpoint_acked"] || p["listener_sent"] != nil {
		t.Errorf("sent and acked are %v", p)
	}
	if r := p["resources"].(map[string]any)[typeCluster].(map[string]any); r["acked"] != p["cluster_acked"] || r["sentTime"] == nil {
		t.Errorf("resources of upstreams are %v", r)
	}
}

func TestConnections(t *testing.T) {
	t.Parallel()
	m, _ := synced(t)
	if body := m.get("/debug/connections?pretty").Body.String(); !strings.Contains(body, `"totalClients": 1`) || !strings.Contains(body, `"protocol": "delta"`) {
		t.Errorf("connections are %s", body)
	}
}

func TestConfigDump(t *testing.T) {
	t.Parallel()
	m, _ := synced(t)
	var dump adminv3.ConfigDump
	if err := protojson.Unmarshal(m.get("/debug/config_dump?proxyID=p.default&include_eds").Body.Bytes(), &dump); err != nil {
		t.Fatal(err)
	}
	var clusters adminv3.ClustersConfigDump
	var endpoints adminv3.EndpointsConfigDump
	if err := dump.GetConfigs()[1].UnmarshalTo(&clusters); err != nil || len(clusters.GetDynamicActiveClusters()) != 2 {
		t.Errorf("upstreams are %v, %v; want two", &clusters, err)
	}
	if err := dump.GetConfigs()[2].UnmarshalTo(&endpoints); err != nil || len(endpoints.GetDynamicEndpointConfigs()) != 1 {
		t.Errorf("endpoints are %v, %v; want those of the one subscribed", &endpoints, err)
	}
	if w := m.get("/debug/config_dump?proxyID=other.default"); w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "Proxy not connected to this Pilot instance") {
		t.Errorf("unknown proxy: %d %s", w.Code, w.Body)
	}
	if w := m.get("/debug/config_dump"); w.Code != http.StatusBadRequest {
		t.Errorf("no proxy named: %d", w.Code)
	}
}

func TestDebugTypes(t *testing.T) {
	t.Parallel()
	m, p := synced(t)
	m.opts.Instance = Instance{ID: "istiod-1", Version: "0.1.0"}
	c := m.sotw("istioctl")
	c.subscribe(debugPrefix + "/syncz")
	r, err := c.stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var id struct {
		Component, ID string
		Info          map[string]string
	}
	if err := json.Unmarshal([]byte(r.GetControlPlane().GetIdentifier()), &id); err != nil || id.Component != "istiod" || id.ID != "istiod-1" || id.Info["version"] != "0.1.0" {
		t.Errorf("identifier is %q, %v", r.GetControlPlane().GetIdentifier(), err)
	}
	if len(r.GetResources()) != 1 {
		t.Fatalf("%d proxies, want one: the asking stream is none", len(r.GetResources()))
	}
	var cfg statusv3.ClientConfig
	if err := r.GetResources()[0].UnmarshalTo(&cfg); err != nil {
		t.Fatal(err)
	}
	if cfg.GetNode().GetId() != "p.default" || cfg.GetGenericXdsConfigs()[0].GetConfigStatus() != statusv3.ConfigStatus_SYNCED {
		t.Errorf("client config is %v", &cfg)
	}

	c.subscribe(debugPrefix+"/config_dump", "p.default")
	r, err = c.stream.Recv()
	if err != nil || len(r.GetResources()) != 1 || !r.GetResources()[0].MessageIs(&adminv3.ConfigDump{}) {
		t.Errorf("config dump is %v, %v", r, err)
	}
	p.subscribe(debugPrefix + "/syncz")
	p.wantEnd(codes.InvalidArgument)
}

func TestDebugTypesAreForTheSystemNamespace(t *testing.T) {
	t.Parallel()
	m := newMesh(t, Options{Authenticate: func(context.Context) (string, string, error) { return "default", "default", nil }})
	m.put(upstreams, content{})
	c := m.sotw("p")
	c.subscribe(debugPrefix + "/syncz")
	_, err := c.stream.Recv()
	if err == nil || !strings.Contains(err.Error(), codes.PermissionDenied.String()) {
		t.Errorf("got %v, want permission denied", err)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := newMesh(t, Options{Registerer: reg})
	m.put(upstreams, content{"a": 1, "b": 1})
	c := m.delta("p")
	c.subscribe(typeCluster)
	c.nack(c.want(typeCluster, []string{"a", "b"}, nil), "no")
	c.quiet()
	values := func() map[string]float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]float64{}
		for _, f := range families {
			for _, x := range f.GetMetric() {
				key := f.GetName()
				for _, l := range x.GetLabel() {
					key += " " + l.GetValue()
				}
				out[key] = x.GetCounter().GetValue() + x.GetGauge().GetValue() + float64(x.GetHistogram().GetSampleCount())
			}
		}
		return out
	}
	got := values()
	for key, want := range map[string]float64{
		"pilot_xds 1.31.0": 1, "pilot_xds_pushes cds": 1, "pilot_total_xds_rejects cds": 1,
		"pilot_xds_cds_reject Internal " + node("p", "default").GetId(): 1, "pilot_xds_config_size_bytes cds": 1,
		"isthmus_sets_built_total cds": 1, "isthmus_resources_built_total cds": 2,
		"isthmus_xds_sent_bytes_total cds": float64(m.Stats().Types["cds"].Bytes),
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	c.cancel()
	eventually(t, "what is kept by proxy is gone", func() bool {
		for key := range values() {
			if strings.HasPrefix(key, "pilot_xds 1") || strings.HasPrefix(key, "pilot_xds_cds_reject") {
				return false
			}
		}
		return true
	})
}

func TestTail(t *testing.T) {
	t.Parallel()
	r := set(upstreams.Part, content{"a": 1}).Lookup("a")
	body := append([]byte(nil), r.Delta...)
	body = append(body, tail(typeCluster, "3", "3-1-1", []string{"x", "y"})...)
	got := new(discoveryv3.DeltaDiscoveryResponse)
	if err := proto.Unmarshal(body, got); err != nil {
		t.Fatal(err)
	}
	if got.GetTypeUrl() != typeCluster || got.GetNonce() != "3-1-1" || got.GetSystemVersionInfo() != "3" ||
		len(got.GetRemovedResources()) != 2 || got.GetResources()[0].GetName() != "a" || got.GetResources()[0].GetVersion() != r.Version {
		t.Errorf("response is %v", got)
	}
}
