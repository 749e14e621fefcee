package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/isthmus-mesh/isthmus/internal/inject"
	"github.com/isthmus-mesh/isthmus/internal/meshconfig"
)

// Config is the injector's configuration as it was last good. The zero value has none yet. Any goroutine may use it.
type Config struct {
	TrustDomain string // what the control plane started with, in place of the mesh's; empty: the mesh's

	current atomic.Pointer[inject.Inputs] // nil until the first one that can be read

	mu   sync.Mutex         // guards the fields below
	mesh *meshconfig.Config // as it was read last; nil before
	good bool               // whether current is
}

// Inputs is the last good configuration. Before there was one it is what could be read, with which pods may be refused for a
// reason that they are told; false when that was nothing.
func (c *Config) Inputs() (inject.Inputs, bool) {
	in := c.current.Load()
	if in == nil {
		return inject.Inputs{}, false
	}
	return *in, true
}

// Set reads a new configuration. When it is not good it says why and the last good one stays.
func (c *Config) Set(valuesJSON, meshYAML []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mesh, _ = meshconfig.Read(meshYAML, c.mesh) // the control plane reports what is wrong with it
	in, err := inject.InputsFrom(valuesJSON, c.mesh.Message)
	if c.TrustDomain != "" {
		in.TrustDomain = c.TrustDomain
	}
	if errors.Is(err, inject.ErrUnreadable) || err != nil && c.good {
		return err
	}
	c.current.Store(&in)
	c.good = err == nil
	return err
}

// ConfigWatch names the two ConfigMaps of one revision of the control plane.
type ConfigWatch struct {
	Client    kubernetes.Interface
	Namespace string          // istiod's
	Revision  string          // empty or "default": the ConfigMaps have no suffix
	Log       *slog.Logger    // nil: nothing is logged
	OnChange  func(err error) // nil allowed; called after each reading, with what was wrong with it
	Config    *Config         // required; is kept up to date
}

// WatchConfig keeps w.Config up to date until the context ends. A ConfigMap that is gone or cannot be read changes
// nothing.
func WatchConfig(ctx context.Context, w ConfigWatch) error {
	if w.Log == nil {
		w.Log = slog.New(slog.DiscardHandler)
	}
	values, err := w.watchOne(ctx, "istio-sidecar-injector", "values")
	if err != nil {
		return err
	}
	mesh, err := w.watchOne(ctx, "istio", "mesh")
	if err != nil {
		return err
	}
	var valuesText, meshText *string // nil until seen
	for {
		select {
		case text := <-values:
			valuesText = &text
		case text := <-mesh:
			meshText = &text
		case <-ctx.Done():
			return nil
		}
		if valuesText == nil || meshText == nil {
			continue
		}
		err := w.Config.Set([]byte(*valuesText), []byte(*meshText))
		if err != nil {
			w.Log.Error("injector configuration is not good, what was good before stays", "namespace", w.Namespace, "error", err)
		}
		if w.OnChange != nil {
			w.OnChange(err)
		}
	}
}

// watchOne sends the text under key each time the ConfigMap is written.
func (w ConfigWatch) watchOne(ctx context.Context, name, key string) (<-chan string, error) {
	if w.Revision != "" && w.Revision != "default" {
		name += "-" + w.Revision
	}
	factory := informers.NewSharedInformerFactoryWithOptions(w.Client, 0, informers.WithNamespace(w.Namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", name).String()
		}))
	texts := make(chan string)
	send := func(object any) {
		cm, ok := object.(*corev1.ConfigMap)
		if !ok || cm.Name != name {
			return
		}
		text, ok := cm.Data[key]
		if !ok {
			w.Log.Error("ConfigMap lacks a key, the last good configuration stays", "configmap", w.Namespace+"/"+name, "key", key)
			return
		}
		select {
		case texts <- text:
		case <-ctx.Done():
		}
	}
	_, err := factory.Core().V1().ConfigMaps().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    send,
		UpdateFunc: func(_, object any) { send(object) },
	})
	if err != nil {
		return nil, fmt.Errorf("watch ConfigMap %s/%s: %w", w.Namespace, name, err)
	}
	factory.StartWithContext(ctx)
	return texts, nil
}
