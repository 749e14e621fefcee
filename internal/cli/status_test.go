package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/check"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

func before(d time.Duration) *time.Time {
	at := noon.Add(-d)
	return &at
}

func TestRemoteClustersTable(t *testing.T) {
	t.Parallel()
	rows := []check.RemoteCluster{
		{
			PeerState: check.PeerState{Cluster: "cluster1", Status: "synced", State: "synced", Since: *before(time.Hour), LastEvent: before(2 * time.Second)},
			Istiod:    "istiod-1", Revision: "default",
		},
		{
			PeerState: check.PeerState{
				Cluster: "cluster2", Secret: "istio-system/s", Status: "timeout", State: "stale", Since: *before(time.Hour),
				StaleSince: before(90 * time.Second), Reason: "i/o timeout",
			},
			Istiod: "istiod-1", Revision: "default",
		},
	}
	want := `NAME         SECRET             STATUS      ISTIOD       REVISION
cluster1                        synced      istiod-1     default
cluster2     istio-system/s     timeout     istiod-1     default
`
	if diff := cmp.Diff(want, remoteClustersText(rows, false, noon)); diff != "" {
		t.Error(diff)
	}
	want = `NAME         SECRET             STATUS      ISTIOD       REVISION     STATE      SINCE      LAST EVENT     REASON
cluster1                        synced      istiod-1     default      synced     1h0m0s     2s             -
cluster2     istio-system/s     timeout     istiod-1     default      stale      1m30s      never          i/o timeout
`
	if diff := cmp.Diff(want, remoteClustersText(rows, true, noon)); diff != "" {
		t.Error(diff)
	}
}

func sampleProxies() []check.ProxyState {
	return []check.ProxyState{{
		Proxy: "sleep-1.sample", Cluster: "cluster1", Kind: "sidecar", Version: "0.1.0", Istiod: "istiod-1",
		Resources: map[string]check.TypeState{
			"type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment": {Sent: "2", Acked: "1", SentTime: before(3 * time.Second)},
			"type.googleapis.com/envoy.config.cluster.v3.Cluster":                {Sent: "1", Acked: "1", SentTime: before(time.Minute)},
			"type.googleapis.com/envoy.config.listener.v3.Listener":              {Sent: "3", Acked: "2", SentTime: before(time.Second), LastError: "no such filter"},
			"type.googleapis.com/envoy.config.route.v3.RouteConfiguration":       {},
		},
	}}
}

func TestProxyStatusTable(t *testing.T) {
	t.Parallel()
	want := `NAME               CLUSTER      ISTIOD       VERSION     SUBSCRIBED TYPES
sleep-1.sample     cluster1     istiod-1     0.1.0       4 (CDS,LDS,EDS,RDS) LDS ERROR, EDS STALE
`
	if diff := cmp.Diff(want, proxiesText(sampleProxies(), false, noon)); diff != "" {
		t.Error(diff)
	}
	want = `NAME               CLUSTER      CDS               EDS            LDS            RDS          ISTIOD       VERSION
sleep-1.sample     cluster1     SYNCED (1m0s)     STALE (3s)     ERROR (1s)     NOT SENT     istiod-1     0.1.0
`
	if diff := cmp.Diff(want, proxiesText(sampleProxies(), true, noon)); diff != "" {
		t.Error(diff)
	}
}

func TestProxyStatusOfOneSaysWhatItRefused(t *testing.T) {
	t.Parallel()
	want := `sleep-1.sample (sidecar) in cluster1, served by istiod-1, version 0.1.0

TYPE     STATE
CDS      SYNCED (1m0s)
LDS      ERROR (1s)
EDS      STALE (3s)
RDS      NOT SENT

LDS was refused: no such filter
`
	if diff := cmp.Diff(want, proxyText(sampleProxies()[0], noon)); diff != "" {
		t.Error(diff)
	}
}

func TestProxyNameAsTyped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typed, namespace, want string }{
		{"sleep-1.sample", "", "sleep-1.sample"},
		{"sleep-1/sample", "other", "sleep-1.sample"},
		{"sleep-1", "sample", "sleep-1.sample"},
		{"sleep-1", "", "sleep-1.default"},
	} {
		g := &globals{namespace: c.namespace}
		if got := g.proxyName(c.typed); got != c.want {
			t.Errorf("%q in %q: got %s, want %s", c.typed, c.namespace, got, c.want)
		}
	}
}

func TestNoRowsAreAnEmptyList(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"json", "yaml"} {
		var out strings.Builder
		if err := printRows[check.ProxyState](&out, form, nil, nil); err != nil || out.String() != "[]\n" {
			t.Errorf("%s: %q, %v", form, out.String(), err)
		}
	}
}
