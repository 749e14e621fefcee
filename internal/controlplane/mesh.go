package controlplane

import (
	"context"
	"log/slog"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// meshSettings holds the mesh's settings as the ConfigMap istio has them. A content that cannot be read changes nothing.
type meshSettings struct {
	own registry.Own
	log *slog.Logger

	mu       sync.Mutex // guards the fields below
	mesh     *model.Mesh
	problems []model.Problem
}

func newMeshSettings(own registry.Own, log *slog.Logger) *meshSettings {
	m := &meshSettings{own: own, log: log}
	m.mesh, _ = registry.MeshFrom(nil, nil, own)
	return m
}

func (m *meshSettings) current() (*model.Mesh, []model.Problem) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mesh, m.problems
}

func (m *meshSettings) set(cm *corev1.ConfigMap) {
	mesh, problems := registry.MeshFrom([]byte(cm.Data["mesh"]), []byte(cm.Data["meshNetworks"]), m.own)
	for _, p := range problems {
		m.log.Warn("mesh configuration", "object", p.Object.String(), "problem", p.Text)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mesh, m.problems = mesh, problems
}

// configMapName is the name of an object of this revision of the control plane.
func configMapName(name, revision string) string {
	if revision == "" || revision == "default" {
		return name
	}
	return name + "-" + revision
}

// watch follows the ConfigMap until the context ends, and calls changed after each change. A ConfigMap that is deleted
// leaves the last settings in force. It returns when the first content has been read, or its absence is certain.
func (m *meshSettings) watch(ctx context.Context, client kubernetes.Interface, namespace, revision string, changed func()) error {
	name := configMapName("istio", revision)
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", name).String()
		}))
	informer := factory.Core().V1().ConfigMaps().Informer()
	take := func(obj any) {
		if cm, ok := obj.(*corev1.ConfigMap); ok && cm.Name == name {
			m.set(cm)
			changed()
		}
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: take, UpdateFunc: func(_, obj any) { take(obj) },
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	cache.WaitForCacheSync(ctx.Done(), registration.HasSynced)
	return nil
}
