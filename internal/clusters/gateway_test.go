package clusters_test

import (
	"testing"
	"time"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	istiofake "istio.io/client-go/pkg/clientset/versioned/fake"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	k8stesting "k8s.io/client-go/testing"

	"github.com/isthmus-mesh/isthmus/internal/clusters"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// istioAPI is Istio's API in memory, which like other fakes cannot stream lists.
type istioAPI struct{ *istiofake.Clientset }

func (istioAPI) IsWatchListSemanticsUnSupported() bool { return true }

func TestGatewaysAreReadWhenTheirAPIAppears(t *testing.T) {
	t.Parallel()
	own, _ := two()
	api := istioAPI{istiofake.NewSimpleClientset()}
	gateway := &networkingv1.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "cross-network"}}
	if _, err := api.NetworkingV1().Gateways(system).Create(t.Context(), gateway, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	installed := make(chan struct{}) // closed once it is
	absent := func() (bool, error) {
		select {
		case <-installed:
			return false, nil
		default:
			return true, apierrors.NewNotFound(schema.GroupResource{Group: "networking.istio.io", Resource: "gateways"}, "")
		}
	}
	api.PrependReactor("list", "gateways", func(k8stesting.Action) (bool, runtime.Object, error) {
		handled, err := absent()
		return handled, nil, err
	})
	api.PrependWatchReactor("gateways", func(k8stesting.Action) (bool, watch.Interface, error) {
		handled, err := absent()
		return handled, nil, err
	})
	own.istio = api
	run(t, own, nil, func(w *world) {
		<-w.set.Ready()
		w.wantState("cluster1", clusters.Synced, "")
		close(installed)
		w.settle(30 * time.Second)
		if n := w.status("cluster1").Objects[registry.KindGateway]; n != 1 {
			t.Errorf("%d Gateways, want 1", n)
		}
	})
}
