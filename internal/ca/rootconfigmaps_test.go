package ca

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
)

func namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// rootWatch follows the ConfigMaps of a fake API server.
type rootWatch struct {
	client *fake.Clientset
	events watch.Interface
}

// await returns when the ConfigMap of a namespace is as it should be.
func (w rootWatch) await(t *testing.T, namespace string, current *Current) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		got, err := w.client.CoreV1().ConfigMaps(namespace).Get(t.Context(), RootConfigMap, metav1.GetOptions{})
		if err == nil && got.Data["root-cert.pem"] == string(current.Roots().PEM()) && got.Labels["istio.io/config"] == "true" {
			return
		}
		select {
		case <-w.events.ResultChan():
		case <-deadline:
			t.Fatalf("namespace %s: %v, %v", namespace, got, err)
		}
	}
}

func TestEveryNamespaceHasTheRoots(t *testing.T) {
	t.Parallel()
	client, watching := newClient(namespace("default"), namespace("kube-public"), namespace("kube-node-lease"), namespace("local-path-storage"))
	events, err := client.CoreV1().ConfigMaps("").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(events.Stop)
	w := rootWatch{client, events}
	current := NewCurrent(newRoot(t), SelfSigned)
	start(t, NewRootConfigMaps(client, current, nil).Run)
	await(t, watching, 3) // the test's own, namespaces, config maps
	w.await(t, "default", current)

	ctx := context.Background()
	if _, err := client.CoreV1().Namespaces().Create(ctx, namespace("sample"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.await(t, "sample", current)

	edited, err := client.CoreV1().ConfigMaps("sample").Get(ctx, RootConfigMap, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	edited.Data = map[string]string{"root-cert.pem": "mine", "other": "stays"}
	edited.Labels = map[string]string{"team": "a"}
	if _, err := client.CoreV1().ConfigMaps("sample").Update(ctx, edited, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.await(t, "sample", current)
	repaired, err := client.CoreV1().ConfigMaps("sample").Get(ctx, RootConfigMap, metav1.GetOptions{})
	if err != nil || repaired.Data["other"] != "stays" || repaired.Labels["team"] != "a" {
		t.Errorf("what is not ours was touched: %+v, %v", repaired, err)
	}

	if err := client.CoreV1().ConfigMaps("default").Delete(ctx, RootConfigMap, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.await(t, "default", current)

	current.Swap(newRoot(t), PluggedIn)
	w.await(t, "default", current)
	w.await(t, "sample", current)
	for ignored := range ignoredNamespaces {
		if _, err := client.CoreV1().ConfigMaps(ignored).Get(ctx, RootConfigMap, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("namespace %s: %v", ignored, err)
		}
	}
}
