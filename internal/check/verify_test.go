package check

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/api/label"
)

func TestHealthyMeshPasses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "cluster1", "cluster2")
	w.addSample(true)
	report := w.verify(nil)
	for _, r := range report.Checks {
		if r.State != OK {
			t.Errorf("%s: %s %s", r.title(), r.State, r.Reason)
		}
	}
	if len(report.Checks) < 18 {
		t.Errorf("only %d checks", len(report.Checks))
	}
	for _, name := range []string{"cluster1", "cluster2"} {
		_, err := w.members[name].core.CoreV1().Namespaces().Get(t.Context(), ProbeNamespace, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			t.Errorf("%s: the probes' namespace is still there: %v", name, err)
		}
	}
}

// otherNetwork puts cluster2 on a network of its own.
func otherNetwork(w *world) {
	own := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "istio-system", Labels: map[string]string{label.Network: "network2"}}}
	if _, err := w.members["cluster2"].core.CoreV1().Namespaces().Update(w.t.Context(), own, metav1.UpdateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func TestNotesDoNotFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "cluster1", "cluster2")
	w.members["cluster2"].put(t,
		&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: "istio-eastwestgateway", Namespace: "istio-system", Labels: map[string]string{label.Network: "network2"}},
			Spec:       corev1.ServiceSpec{Selector: map[string]string{"istio": "eastwestgateway"}},
			Status:     corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}}},
		},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{
			Name: "istio-eastwestgateway-1", Namespace: "istio-system",
			Labels: map[string]string{label.Network: "network2", "istio": "eastwestgateway"},
		}},
	)
	w.members["cluster1"].now = func() time.Time { return time.Now().Add(-time.Minute) }
	report := w.verify(func(o *Options) {
		o.Try = func(context.Context, []byte) (string, error) {
			return "https://far.example", errors.New("no route to host")
		}
	})
	if n := report.Count(Failed); n != 0 {
		t.Errorf("%d checks failed: %+v", n, report.Checks)
	}
	for _, want := range []struct{ check, from, to, reason string }{
		{gateway, "cluster2", "", "istio-system/istio-eastwestgateway names network network2, and no pod or namespace is on it (the cluster is on network1)"},
		{clock, "cluster1", "", "behind this machine's"},
		{credential, "cluster1", "cluster2", "https://far.example cannot be reached from this machine, but from cluster1 it can"},
	} {
		got := w.find(report, want.check, want.from, want.to)
		if got.State != Note || !strings.Contains(got.Reason, want.reason) {
			t.Errorf("%s: got %s %s, want a note with %q", want.check, got.State, got.Reason, want.reason)
		}
	}
	if got := w.find(report, sample, "all", ""); got.State != Skipped {
		t.Errorf("the sample is not there: got %s %s", got.State, got.Reason)
	}
}

func TestNetworkWithoutGatewayIsRed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "cluster1", "cluster2")
	otherNetwork(w)
	got := w.find(w.verify(nil), gateway, "cluster2", "")
	if got.State != Failed || !strings.Contains(got.Reason, "network network2 has no gateway") || !strings.Contains(got.Fix, "gen-eastwest-gateway.sh --network network2") {
		t.Errorf("got %+v", got)
	}
}

func TestContextsWithoutControlPlaneAreLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "cluster1", "cluster2", "plain")
	if err := w.members["plain"].core.AppsV1().Deployments("istio-system").Delete(t.Context(), "istiod", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.members["again"] = w.members["cluster1"]
	w.contexts = append(w.contexts, "again", "gone")
	report := w.verify(func(o *Options) {
		o.Connect = func(name string) (Cluster, error) {
			if name == "gone" {
				return Cluster{}, errors.New("no such host")
			}
			return w.connect(name)
		}
	})
	want := []LeftOut{
		{"plain", "no istiod in namespace istio-system"},
		{"again", "it is the same cluster as context cluster1"},
		{"gone", "the API server gives no answer: no such host"},
	}
	if !slices.Equal(report.LeftOut, want) {
		t.Errorf("left out %+v, want %+v", report.LeftOut, want)
	}
	if got := w.find(report, request, "cluster1", "cluster2"); got.State != OK {
		t.Errorf("got %+v", got)
	}
}

func TestNamespaceOfOthersStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "cluster1", "cluster2")
	w.members["cluster2"].put(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ProbeNamespace}})
	report := w.verify(nil)
	got := w.find(report, probePod, "cluster2", "")
	if got.State != Failed || !strings.Contains(got.Reason, "was not made by verify") {
		t.Errorf("got %+v", got)
	}
	if _, err := w.members["cluster2"].core.CoreV1().Namespaces().Get(t.Context(), ProbeNamespace, metav1.GetOptions{}); err != nil {
		t.Errorf("the namespace of somebody else is gone: %v", err)
	}
}

func TestInterruptedRunRemovesItsProbes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "cluster1", "cluster2")
	ctx, interrupt := context.WithCancel(t.Context())
	// The probe never gets ready; the run is interrupted while it waits for it.
	w.members["cluster1"].probePod = func(pod *corev1.Pod) {
		pod.Status.Conditions = nil
		interrupt()
	}
	report, err := Verify(ctx, Options{
		Candidates: w.contexts, Connect: w.connect, Namespace: "istio-system", Timeout: time.Minute,
		Try: func(context.Context, []byte) (string, error) { return "https://peer.example", nil },
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
	if got := w.find(report, probePod, "cluster1", ""); got.State != Skipped || got.Reason != "interrupted" {
		t.Errorf("got %s %s", got.State, got.Reason)
	}
	for _, name := range w.contexts {
		_, err := w.members[name].core.CoreV1().Namespaces().Get(t.Context(), ProbeNamespace, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			t.Errorf("%s: the probes' namespace is still there: %v", name, err)
		}
	}
}
