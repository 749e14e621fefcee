package kube

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// oneKind is a mapper of a cluster that knows Deployments.
type oneKind struct{ *meta.DefaultRESTMapper }

func (oneKind) Reset() {}

// stuckCluster has a Deployment whose only pod has no image.
func stuckCluster() (*Client, *unstructured.Unstructured) {
	labels := map[string]string{"app": "istiod"}
	object := metav1.ObjectMeta{Name: "istiod", Namespace: "istio-system", Labels: labels, Generation: 1}
	deployment := &appsv1.Deployment{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: object,
		Spec:   appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}},
		Status: appsv1.DeploymentStatus{ObservedGeneration: 1, UpdatedReplicas: 1},
	}
	pod := &corev1.Pod{ObjectMeta: object, Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
		Name: "discovery", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}},
	}}}}
	mapper := oneKind{meta.NewDefaultRESTMapper(nil)}
	mapper.Add(appsv1.SchemeGroupVersion.WithKind("Deployment"), meta.RESTScopeNamespace)
	client := &Client{
		Config: &rest.Config{Timeout: time.Second}, Core: fake.NewClientset(deployment, pod),
		dynamic: dynamicfake.NewSimpleDynamicClient(scheme.Scheme, deployment), mapper: mapper,
	}
	applied := &unstructured.Unstructured{}
	applied.SetGroupVersionKind(deployment.GroupVersionKind())
	applied.SetName(deployment.Name)
	applied.SetNamespace(deployment.Namespace)
	return client, applied
}

func TestAWaitSaysWhyAfterTenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, deployment := stuckCluster()
		const why = "0 of 1 pods are ready: pod istiod: container discovery: ImagePullBackOff"
		var reasons []string
		since := map[string]time.Duration{}
		err := client.Wait(t.Context(), []*unstructured.Unstructured{deployment}, time.Minute, func(pending []Pending, elapsed time.Duration) {
			if reason := pending[0].Reason; !slices.Contains(reasons, reason) {
				reasons = append(reasons, reason)
				since[reason] = elapsed
			}
		})
		if diff := cmp.Diff([]string{"", why}, reasons); diff != "" || since[why] != 10*time.Second {
			t.Errorf("after %v: -want +got\n%s", since[why], diff)
		}
		if err == nil || !strings.Contains(err.Error(), "resources not ready after 1m0s:\n  Deployment/istio-system/istiod: "+why) {
			t.Errorf("error %v", err)
		}
	})
}
