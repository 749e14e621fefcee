package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/admissionregistration/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	revisionLabel    = "istio.io/rev"
	injectorWebhooks = "sidecar-injector.istio.io" // how the names of the webhooks that we serve end
)

// Roots is what the API server needs to trust istiod's certificate.
type Roots struct {
	Current func() []byte   // PEM; empty when there is none yet
	Changed <-chan struct{} // a value for each change of Current; nil or closed: it never changes again
}

// caBundles keeps the CA bundle of one revision's webhook configurations.
type caBundles struct {
	client  kubernetes.Interface
	configs listers.MutatingWebhookConfigurationLister
	queue   workqueue.TypedRateLimitingInterface[string]
	roots   func() []byte
	log     *slog.Logger
}

// KeepCABundle writes the roots into each injection webhook of the revision ("default" when empty), and again whenever
// somebody edits one or the roots change, until the context ends. What cannot be written is tried again with growing
// pauses. log may be nil.
func KeepCABundle(ctx context.Context, client kubernetes.Interface, revision string, roots Roots, log *slog.Logger) error {
	if revision == "" {
		revision = "default"
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = labels.Set{revisionLabel: revision}.String()
	}))
	configs := factory.Admissionregistration().V1().MutatingWebhookConfigurations()
	k := &caBundles{
		client: client, configs: configs.Lister(), roots: roots.Current, log: log,
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
	}
	defer factory.Shutdown()
	defer k.queue.ShutDown()
	if _, err := configs.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    k.enqueue,
		UpdateFunc: func(_, object any) { k.enqueue(object) },
	}); err != nil {
		return fmt.Errorf("watch webhook configurations: %w", err)
	}
	factory.StartWithContext(ctx)
	go k.work(ctx)
	for {
		select {
		case _, more := <-roots.Changed:
			k.enqueueAll()
			if !more {
				roots.Changed = nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (k *caBundles) enqueue(object any) {
	if config, ok := object.(*admissionregistrationv1.MutatingWebhookConfiguration); ok {
		k.queue.Add(config.Name)
	}
}

func (k *caBundles) enqueueAll() {
	configs, err := k.configs.List(labels.Everything())
	if err != nil {
		k.log.Error("list webhook configurations", "error", err)
		return
	}
	for _, config := range configs {
		k.queue.Add(config.Name)
	}
}

func (k *caBundles) work(ctx context.Context) {
	for {
		name, done := k.queue.Get()
		if done {
			return
		}
		if err := k.patch(ctx, name); err != nil {
			k.log.Warn("CA bundle not written, will try again", "webhookconfiguration", name, "error", err)
			k.queue.AddRateLimited(name)
		} else {
			k.queue.Forget(name)
		}
		k.queue.Done(name)
	}
}

// patch writes the roots where they are missing. It names the version that it read, so that it never undoes an edit
// that it has not seen; then the conflict brings it here again.
func (k *caBundles) patch(ctx context.Context, name string) error {
	config, err := k.configs.Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	roots := k.roots()
	outdated := webhooksWithout(config, roots)
	if len(roots) == 0 || len(outdated) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]string{"resourceVersion": config.ResourceVersion},
		"webhooks": outdated,
	})
	if err != nil {
		return err
	}
	_, err = k.client.AdmissionregistrationV1().MutatingWebhookConfigurations().Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("patch webhook configuration %s: %w", name, err)
	}
	k.log.Info("CA bundle written", "webhookconfiguration", name, "webhooks", len(outdated))
	return nil
}

// bundlePatch is one element of the list of webhooks, which the API server merges by name.
type bundlePatch struct {
	Name         string `json:"name"`
	ClientConfig struct {
		CABundle []byte `json:"caBundle"`
	} `json:"clientConfig"`
}

func webhooksWithout(config *admissionregistrationv1.MutatingWebhookConfiguration, roots []byte) []bundlePatch {
	var outdated []bundlePatch
	for _, hook := range config.Webhooks {
		if strings.HasSuffix(hook.Name, injectorWebhooks) && !bytes.Equal(hook.ClientConfig.CABundle, roots) {
			patch := bundlePatch{Name: hook.Name}
			patch.ClientConfig.CABundle = roots
			outdated = append(outdated, patch)
		}
	}
	return outdated
}
