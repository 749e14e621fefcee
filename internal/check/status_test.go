package check

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/isthmus-mesh/isthmus/api/label"
)

// twoIstiods is a cluster in which the first istiod answers and the second, of another revision, does not.
func twoIstiods() Cluster {
	pod := func(name, revision string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "istio-system", Labels: map[string]string{"app": "istiod", label.Revision: revision}},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning},
		}
	}
	answers := map[string]string{
		"/debug/clusterz": `[{"id":"cluster1","syncStatus":"synced"},{"id":"cluster2","secretName":"istio-system/s","syncStatus":"timeout"}]`,
		"/debug/syncz":    `[{"proxy":"b.sample","cluster_id":"cluster1"},{"proxy":"a.sample","cluster_id":"cluster1"}]`,
	}
	return Cluster{
		Core: fake.NewClientset(pod("istiod-1", "default"), pod("istiod-2", "canary")),
		Get: func(_ context.Context, _, pod string, _ int, path string) ([]byte, error) {
			if pod == "istiod-2" {
				return nil, errors.New("connection refused")
			}
			return []byte(answers[path]), nil
		},
	}
}

func TestWhatOneIstiodDoesNotAnswerLeavesTheRowsOfOthers(t *testing.T) {
	t.Parallel()
	rows, err := RemoteClusters(t.Context(), twoIstiods(), "istio-system", "")
	want := []RemoteCluster{
		{PeerState: PeerState{Cluster: "cluster1", Status: "synced"}, Istiod: "istiod-1", Revision: "default"},
		{PeerState: PeerState{Cluster: "cluster2", Secret: "istio-system/s", Status: "timeout"}, Istiod: "istiod-1", Revision: "default"},
	}
	if diff := cmp.Diff(want, rows); diff != "" || err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error %v, -want +got\n%s", err, diff)
	}
}

func TestProxiesComeByName(t *testing.T) {
	t.Parallel()
	rows, err := Proxies(t.Context(), twoIstiods(), "istio-system", "default")
	want := []ProxyState{{Proxy: "a.sample", Cluster: "cluster1", Istiod: "istiod-1"}, {Proxy: "b.sample", Cluster: "cluster1", Istiod: "istiod-1"}}
	if diff := cmp.Diff(want, rows); diff != "" || err != nil {
		t.Errorf("error %v, -want +got\n%s", err, diff)
	}
}

func TestARevisionThatDoesNotAnswerHasNoRows(t *testing.T) {
	t.Parallel()
	if rows, err := Proxies(t.Context(), twoIstiods(), "istio-system", "canary"); err == nil || len(rows) > 0 {
		t.Errorf("%v, error %v", rows, err)
	}
}
