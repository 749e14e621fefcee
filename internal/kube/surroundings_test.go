package kube

import (
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
)

func TestSurroundingsHaveWhatCanBeRead(t *testing.T) {
	t.Parallel()
	core := fake.NewClientset(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "istio-system", Labels: map[string]string{"topology.istio.io/network": "network1"}}},
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "istiod", Namespace: "mesh2", Labels: map[string]string{"app": "istiod"}}},
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "sample", Labels: map[string]string{"app": "web"}}},
	)
	core.PrependReactor("list", "mutatingwebhookconfigurations", func(ktesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("not for you")
	})
	got, err := (&Client{Core: core}).Surroundings(t.Context(), "istio-system")
	if err == nil || !strings.HasPrefix(err.Error(), "look at what is in the cluster: ") || !strings.Contains(err.Error(), "not for you") {
		t.Errorf("error %v", err)
	}
	if got.Network != "network1" || len(got.ControlPlanes) != 1 || got.ControlPlanes[0].String() != "Deployment/istiod.mesh2" {
		t.Errorf("got %+v", got)
	}
	if got, err := (&Client{Core: fake.NewClientset()}).Surroundings(t.Context(), "istio-system"); err != nil || got.Network != "" {
		t.Errorf("an empty cluster: %+v, %v", got, err)
	}
}
