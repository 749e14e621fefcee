package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/isthmus-mesh/isthmus/internal/inject"
)

// Config is the injector's configuration as it was last good. The zero value has none yet. Any goroutine may use it.
type Config struct {
	current atomic.Pointer[inject.Inputs] // nil until the first good one
}

// Inputs is the last good configuration; false before there was one.
func (c *Config) Inputs() (inject.Inputs, bool) {
	in := c.current.Load()
	if in == nil {
		return inject.Inputs{}, false
	}
	return *in, true
}

// Set reads a new configuration. When it is not good it says why and the last good one stays.
func (c *Config) Set(valuesJSON, meshYAML []byte) error {
	in, err := inject.InputsFromConfig(valuesJSON, meshYAML)
	if err != nil {
		return err
	}
	c.current.Store(&in)
	return nil
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
			w.Log.Error("injector configuration not taken, the last good one stays", "namespace", w.Namespace, "error", err)
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
