package meshtest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	k8stesting "k8s.io/client-go/testing"

	"github.com/isthmus-mesh/isthmus/api/label"
	"github.com/isthmus-mesh/isthmus/internal/remotesecret"
)

// apiServer is a cluster's API server in memory. It can be lost and found again.
type apiServer struct {
	*fake.Clientset

	mu      sync.Mutex // guards what follows
	lost    bool
	watches []watch.Interface
}

var errLost = errors.New("connection refused")

func newAPIServer() *apiServer {
	a := &apiServer{Clientset: fake.NewClientset()}
	a.PrependReactor("*", "*", func(k8stesting.Action) (bool, runtime.Object, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.lost, nil, errLost
	})
	a.PrependWatchReactor("*", func(action k8stesting.Action) (bool, watch.Interface, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.lost {
			return true, nil, errLost
		}
		w, err := a.Tracker().Watch(action.GetResource(), action.GetNamespace())
		a.watches = append(a.watches, w)
		return true, w, err
	})
	return a
}

// lose makes every request fail and ends what is open.
func (a *apiServer) lose() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lost = true
	for _, w := range a.watches {
		w.Stop()
	}
	a.watches = nil
}

func (a *apiServer) find() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lost = false
}

// put creates an object, or replaces the one that is there. It works also while the server is lost to others.
func (a *apiServer) put(object runtime.Object) error {
	resource, namespace, err := placeOf(object)
	if err != nil {
		return err
	}
	err = a.Tracker().Create(resource, object, namespace)
	if apierrors.IsAlreadyExists(err) {
		err = a.Tracker().Update(resource, object, namespace)
	}
	return err
}

// remove deletes the object with the kind and name of another.
func (a *apiServer) remove(object runtime.Object) error {
	resource, namespace, err := placeOf(object)
	if err != nil {
		return err
	}
	named, err := meta.Accessor(object)
	if err != nil {
		return err
	}
	return a.Tracker().Delete(resource, namespace, named.GetName())
}

func placeOf(object runtime.Object) (resource schema.GroupVersionResource, namespace string, err error) {
	kinds, _, err := scheme.Scheme.ObjectKinds(object)
	if err != nil {
		return resource, "", err
	}
	named, err := meta.Accessor(object)
	if err != nil {
		return resource, "", err
	}
	resource, _ = meta.UnsafeGuessKindToResource(kinds[0])
	return resource, named.GetNamespace(), nil
}

// decode reads the YAML documents of a file.
func decode(file []byte) ([]runtime.Object, error) {
	var objects []runtime.Object
	for document := range bytes.SplitSeq(file, []byte("\n---\n")) {
		if len(bytes.TrimSpace(document)) == 0 {
			continue
		}
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode(document, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, document)
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// urlOf is where a cluster's API server would be.
func urlOf(cluster string) string { return "https://" + cluster + ".test" }

func kubeconfigFor(cluster string) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: %q}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
`, urlOf(cluster))
}

func remoteSecret(cluster string, kubeconfig []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: system, Name: remotesecret.NamePrefix + cluster, Labels: map[string]string{label.MultiCluster: "true"},
		},
		Data: map[string][]byte{cluster: kubeconfig},
	}
}
