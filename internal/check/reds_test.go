package check

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/isthmus-mesh/isthmus/internal/probe"
)

// TestEachRedNamesItsCause breaks one thing after the other and looks at the row that has to say so.
func TestEachRedNamesItsCause(t *testing.T) {
	t.Parallel()
	type row struct{ check, from, to string }
	cases := []struct {
		name   string
		spoil  func(*world)
		change func(*Options)
		row    row
		reason string
		fix    string
	}{
		{
			name: "Secret gone", row: row{remoteSecret, "cluster1", "cluster2"},
			spoil: func(w *world) {
				m := w.members["cluster1"]
				if err := m.core.CoreV1().Secrets("istio-system").Delete(w.t.Context(), "istio-remote-secret-cluster2", metav1.DeleteOptions{}); err != nil {
					w.t.Fatal(err)
				}
				m.peers = m.peers[:1]
			},
			reason: "no remote Secret for cluster2",
			fix:    "istioctl create-remote-secret --context=cluster2 --name=cluster2 | kubectl apply -f - --context=cluster1",
		},
		{
			name: "control plane without the Secret", row: row{discovery, "cluster1", "cluster2"},
			spoil: func(w *world) {
				m := w.members["cluster1"]
				if err := m.core.CoreV1().Secrets("istio-system").Delete(w.t.Context(), "istio-remote-secret-cluster2", metav1.DeleteOptions{}); err != nil {
					w.t.Fatal(err)
				}
				m.peers = m.peers[:1]
			},
			reason: "no remote Secret", fix: "create-remote-secret",
		},
		{
			name: "token wrong", row: row{credential, "cluster1", "cluster2"},
			change: func(o *Options) {
				o.Try = func(context.Context, []byte) (string, error) {
					return "https://cluster2.example", apierrors.NewUnauthorized("Unauthorized")
				}
			},
			reason: "token wrong", fix: "create-remote-secret --context=cluster2",
		},
		{
			name: "token wrong, as the control plane sees it", row: row{discovery, "cluster2", "cluster1"},
			spoil: func(w *world) {
				p := w.members["cluster2"].peer("cluster1")
				p.Status, p.State, p.Reason, p.Since = "closed", "refused", "Unauthorized", time.Now().Add(-time.Minute)
			},
			reason: "cluster1 is refused for 1m0s: Unauthorized", fix: "create-remote-secret --context=cluster1",
		},
		{
			name: "token without rights", row: row{credential, "cluster1", "cluster2"},
			change: func(o *Options) {
				o.Try = func(context.Context, []byte) (string, error) {
					return "s", apierrors.NewForbidden(schema.GroupResource{Resource: "services"}, "", errors.New("no"))
				}
			},
			reason: "forbids reading", fix: "istio-reader-service-account",
		},
		{
			name: "other API server behind the address", row: row{credential, "cluster1", "cluster2"},
			change: func(o *Options) {
				o.Try = func(context.Context, []byte) (string, error) { return "s", x509.UnknownAuthorityError{} }
			},
			reason: "not from the authority in the Secret", fix: "create-remote-secret",
		},
		{
			name: "API server out of reach", row: row{discovery, "cluster1", "cluster2"},
			spoil: func(w *world) {
				p := w.members["cluster1"].peer("cluster2")
				stale := time.Now().Add(-90 * time.Second)
				p.Status, p.State, p.Reason, p.StaleSince = "timeout", "stale", "dial tcp: i/o timeout", &stale
			},
			reason: "cluster2 is stale for 1m30s: dial tcp: i/o timeout", fix: "let the pods of cluster1 reach https://cluster2.example:6443",
		},
		{
			name: "other root", row: row{sameRoot, "cluster1", "cluster2"},
			spoil:  otherRoot,
			reason: "other root: cluster1 has ", fix: "isthmus cert intermediate",
		},
		{
			name: "other trust domain", row: row{sameRoot, "cluster1", "cluster2"},
			spoil: func(w *world) {
				cm := &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{Name: "istio", Namespace: "istio-system"}, Data: map[string]string{"mesh": "trustDomain: elsewhere"},
				}
				if _, err := w.members["cluster2"].core.CoreV1().ConfigMaps("istio-system").Update(w.t.Context(), cm, metav1.UpdateOptions{}); err != nil {
					w.t.Fatal(err)
				}
			},
			reason: "cluster.local in cluster1, elsewhere in cluster2", fix: "meshConfig.trustDomain",
		},
		{
			name: "other root, as a request sees it", row: row{request, "cluster1", "cluster2"},
			spoil: func(w *world) {
				otherRoot(w)
				answers("cluster1", "cluster2", connectionFailure)(w)
			},
			reason: "other root: TLS between the sidecars failed, since cluster1 and cluster2 have no root in common", fix: "same root",
		},
		{
			name: "TLS fails for another reason", row: row{request, "cluster1", "cluster2"},
			spoil:  answers("cluster1", "cluster2", connectionFailure),
			reason: "TLS between the sidecars failed, though the pods reach each other", fix: "older root",
		},
		{
			name: "link refused by a router", row: row{request, "cluster1", "cluster2"},
			spoil:  cutOff("cluster1", "cluster2", connectionFailure),
			reason: "link cut", fix: "routes, firewalls",
		},
		{
			name: "link cut", row: row{request, "cluster1", "cluster2"},
			spoil: cutOff("cluster1", "cluster2", probe.Call{
				Error: "Get \"http://probe-cluster2.isthmus-verify:8080/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
			}),
			reason: "link cut", fix: "routes, firewalls",
		},
		{
			name: "link cut, as Envoy says it", row: row{request, "cluster1", "cluster2"},
			spoil: cutOff("cluster1", "cluster2", probe.Call{
				Status: 503, Body: "upstream connect error or disconnect/reset before headers. reset reason: connection timeout",
			}),
			reason: "link cut", fix: "routes, firewalls",
		},
		{
			name: "gateway offers no services", row: row{request, "cluster1", "cluster2"},
			spoil: func(w *world) {
				otherNetwork(w)
				answers("cluster1", "cluster2", connectionFailure)(w)
			},
			reason: "the gateway of network network2 ends the connection", fix: "kubectl --context=cluster2 apply -n istio-system -f samples/multicluster/expose-services.yaml",
		},
		{
			name: "link to the gateway cut", row: row{request, "cluster1", "cluster2"},
			spoil: func(w *world) {
				otherNetwork(w)
				answers("cluster1", "cluster2", probe.Call{Error: "context deadline exceeded"})(w)
			},
			reason: "link cut: nothing comes back from the gateway of network network2", fix: "row gateway of cluster2",
		},
		{
			name: "no endpoints", row: row{request, "cluster1", "cluster2"},
			spoil:  answers("cluster1", "cluster2", probe.Call{Status: 503, Body: "no healthy upstream"}),
			reason: "has no endpoint of the probe", fix: "discovery and endpoints",
		},
		{
			name: "connection refused", row: row{request, "cluster1", "cluster2"},
			spoil: answers("cluster1", "cluster2", probe.Call{
				Status: 503, Body: "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure, transport failure reason: delayed connect error: Connection refused",
			}),
			reason: "connection refused by the pod in cluster2", fix: "logs",
		},
		{
			name: "name unknown", row: row{request, "cluster1", "cluster2"},
			spoil:  answers("cluster1", "cluster2", probe.Call{Error: "dial tcp: lookup probe-cluster2.isthmus-verify: no such host"}),
			reason: "name of the probe is unknown in cluster1", fix: "endpoints",
		},
		{
			name: "plain text", row: row{request, "cluster1", "cluster2"},
			spoil:  answers("cluster1", "cluster2", probe.Call{Status: 200, Answer: &probe.Answer{Cluster: "cluster2"}}),
			reason: "without mutual TLS", fix: "tlsMode",
		},
		{
			name: "somebody else's identity", row: row{request, "cluster1", "cluster2"},
			spoil: answers("cluster1", "cluster2", probe.Call{Status: 200, Answer: &probe.Answer{
				Cluster: "cluster2", ClientCertificate: "URI=spiffe://cluster.local/ns/istio-system/sa/gateway",
			}}),
			reason: `saw identity "spiffe://cluster.local/ns/istio-system/sa/gateway", want "spiffe://cluster.local/ns/isthmus-verify/sa/probe-cluster1"`,
			fix:    "ends TLS",
		},
		{
			name: "wrong cluster answers", row: row{request, "cluster1", "cluster2"},
			spoil:  answers("cluster1", "cluster2", probe.Call{Status: 200, Answer: &probe.Answer{Cluster: "cluster1"}}),
			reason: "cluster1 answered in place of cluster2", fix: "endpointslices",
		},
		{
			name: "probe not injected", row: row{probePod, "cluster2", ""},
			spoil:  func(w *world) { w.members["cluster2"].uninjected = true },
			reason: "pod not injected", fix: "mutatingwebhookconfiguration",
		},
		{
			name: "sample's pod not injected", row: row{sample, "cluster1", ""},
			spoil:  func(w *world) { w.addSample(false) },
			reason: "pod not injected: helloworld-v1 has no sidecar", fix: "kubectl --context=cluster1 label namespace sample istio-injection=enabled",
		},
		{
			name: "only one version answers", row: row{sample, "cluster2", ""},
			spoil: func(w *world) {
				w.addSample(true)
				w.members["cluster2"].hello = []string{"v2"}
			},
			reason: "v1 of cluster1 never answers, only v2 40 times", fix: "rows of the pairs",
		},
		{
			name: "control plane down", row: row{controlPlane, "cluster2", ""},
			spoil: func(w *world) {
				m := w.members["cluster2"]
				m.down = true
				if err := m.core.CoreV1().Pods("istio-system").Delete(w.t.Context(), "istiod-1", metav1.DeleteOptions{}); err != nil {
					w.t.Fatal(err)
				}
			},
			reason: "control plane down: Deployment istiod has no pods", fix: "kubectl --context=cluster2 describe",
		},
		{
			name: "control plane not ready", row: row{controlPlane, "cluster2", ""},
			spoil:  func(w *world) { w.members["cluster2"].down = true },
			reason: "no istiod pod is ready: istiod-1: connection refused", fix: "describe pods",
		},
		{
			name: "two clusters of one name", row: row{clusterName, "cluster1", ""},
			spoil: func(w *world) {
				m := w.members["cluster2"]
				cm := &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{Name: "istio-sidecar-injector", Namespace: "istio-system"},
					Data:       map[string]string{"values": `{"global":{"multiCluster":{"clusterName":"cluster1"}}}`},
				}
				if _, err := m.core.CoreV1().ConfigMaps("istio-system").Update(w.t.Context(), cm, metav1.UpdateOptions{}); err != nil {
					w.t.Fatal(err)
				}
			},
			reason: `cluster1, cluster2 all call their cluster "cluster1"`, fix: "clusterName=NAME",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, "cluster1", "cluster2")
				if c.spoil != nil {
					c.spoil(w)
				}
				report := w.verify(c.change)
				got := w.find(report, c.row.check, c.row.from, c.row.to)
				if got.State != Failed || !strings.Contains(got.Reason, c.reason) || !strings.Contains(got.Fix, c.fix) {
					t.Errorf("got %s\nreason %s\nfix %s\nwant reason %q, fix %q", got.State, got.Reason, got.Fix, c.reason, c.fix)
				}
			})
		})
	}
}

// connectionFailure is all that Envoy tells a client of TLS that fails.
var connectionFailure = probe.Call{
	Status: 503, Body: "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: remote connection failure",
}

// answers makes the probe of one cluster hear the same each time it calls another's.
func answers(from, to string, c probe.Call) func(*world) {
	return func(w *world) {
		w.members[from].calls = func(url string) (probe.Call, bool) { return c, url == probeURL(to) }
	}
}

// cutOff makes it hear the same when it calls the pod's address.
func cutOff(from, to string, c probe.Call) func(*world) {
	return func(w *world) {
		w.members[from].calls = func(url string) (probe.Call, bool) { return c, url == probeURL(to) || url == directURL(to) }
	}
}

// otherRoot gives cluster2 a root of its own.
func otherRoot(w *world) {
	other := rootConfigMap(newRoot(w.t, "other"))
	if _, err := w.members["cluster2"].core.CoreV1().ConfigMaps("istio-system").Update(w.t.Context(), other, metav1.UpdateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}
