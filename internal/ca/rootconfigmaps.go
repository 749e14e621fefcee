package ca

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/isthmus-mesh/isthmus/internal/certs"
)

// RootConfigMap is the ConfigMap in every namespace that pods read the mesh's roots from, under key root-cert.pem.
const RootConfigMap = "istio-ca-root-cert"

// configLabel marks ConfigMaps that belong to the mesh.
const configLabel = "istio.io/config"

// ignoredNamespaces have no workloads of the mesh (Istio leaves out the same three).
var ignoredNamespaces = map[string]bool{"kube-public": true, "kube-node-lease": true, "local-path-storage": true}

// RootConfigMaps keeps the ConfigMap in every namespace of the own cluster as the current roots are, also when someone edits or
// deletes it. Replicas may run it side by side: they write the same.
type RootConfigMaps struct {
	client     kubernetes.Interface
	current    *Current
	log        *slog.Logger
	namespaces listers.NamespaceLister
	configMaps listers.ConfigMapLister
	queue      workqueue.TypedRateLimitingInterface[string] // names of namespaces
}

// NewRootConfigMaps returns the controller; Run works. A nil log drops its lines.
func NewRootConfigMaps(client kubernetes.Interface, current *Current, log *slog.Logger) *RootConfigMaps {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &RootConfigMaps{client: client, current: current, log: log}
}

// Run keeps the ConfigMaps until ctx ends, and returns when its goroutine is gone.
func (r *RootConfigMaps) Run(ctx context.Context) error {
	r.queue = workqueue.NewTypedRateLimitingQueue(
		workqueue.NewTypedItemExponentialFailureRateLimiter[string](100*time.Millisecond, time.Minute))
	namespaces := informers.NewSharedInformerFactory(r.client, recheck)
	configMaps := informers.NewSharedInformerFactoryWithOptions(r.client, recheck,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, RootConfigMap).String()
		}))
	r.namespaces = namespaces.Core().V1().Namespaces().Lister()
	r.configMaps = configMaps.Core().V1().ConfigMaps().Lister()
	enqueueName := handler(func(o metav1.Object) { r.enqueue(o.GetName()) })
	enqueueNamespace := handler(func(o metav1.Object) {
		if o.GetName() == RootConfigMap {
			r.enqueue(o.GetNamespace())
		}
	})
	if _, err := namespaces.Core().V1().Namespaces().Informer().AddEventHandler(enqueueName); err != nil {
		return err
	}
	if _, err := configMaps.Core().V1().ConfigMaps().Informer().AddEventHandler(enqueueNamespace); err != nil {
		return err
	}
	for _, factory := range []informers.SharedInformerFactory{namespaces, configMaps} {
		factory.Start(ctx.Done())
		defer factory.Shutdown()
		factory.WaitForCacheSync(ctx.Done())
	}
	done := make(chan struct{})
	go func() { defer close(done); r.work(ctx) }()
	r.follow(ctx)
	r.queue.ShutDown()
	<-done
	return nil
}

// handler calls f with every object that an informer tells of, deleted ones included.
func handler(f func(metav1.Object)) cache.ResourceEventHandler {
	each := func(object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		if o, ok := object.(metav1.Object); ok {
			f(o)
		}
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: each, UpdateFunc: func(_, now any) { each(now) }, DeleteFunc: each}
}

func (r *RootConfigMaps) enqueue(namespace string) {
	if !ignoredNamespaces[namespace] {
		r.queue.Add(namespace)
	}
}

// follow looks at every namespace again when the authority changes, until ctx ends.
func (r *RootConfigMaps) follow(ctx context.Context) {
	for {
		// Taken before the namespaces are listed, so that a change meanwhile is seen in the next turn.
		changed := r.current.Changed()
		for _, namespace := range r.list() {
			r.enqueue(namespace.Name)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

func (r *RootConfigMaps) list() []*corev1.Namespace {
	all, err := r.namespaces.List(labels.Everything())
	if err != nil {
		panic(err) // a lister reads memory
	}
	return all
}

// work takes namespaces off the queue until it is shut down.
func (r *RootConfigMaps) work(ctx context.Context) {
	for {
		namespace, shutdown := r.queue.Get()
		if shutdown {
			return
		}
		if err := r.reconcile(ctx, namespace); err != nil && ctx.Err() == nil {
			r.log.Warn("root certificate not written, will be tried again", "namespace", namespace, "reason", err)
			r.queue.AddRateLimited(namespace)
		} else {
			r.queue.Forget(namespace)
		}
		r.queue.Done(namespace)
	}
}

// reconcile makes the ConfigMap of one namespace right. Other keys and labels in it stay.
func (r *RootConfigMaps) reconcile(ctx context.Context, name string) error {
	namespace, err := r.namespaces.Get(name)
	if apierrors.IsNotFound(err) || (err == nil && namespace.DeletionTimestamp != nil) {
		return nil
	}
	if err != nil {
		return err
	}
	roots := string(r.current.Roots().PEM())
	existing, err := r.configMaps.ConfigMaps(name).Get(RootConfigMap)
	if apierrors.IsNotFound(err) {
		return r.create(ctx, name, roots)
	}
	if err != nil {
		return err
	}
	if existing.Data[certs.RootFile] == roots && existing.Labels[configLabel] == "true" {
		return nil
	}
	changed := existing.DeepCopy()
	if changed.Data == nil {
		changed.Data = map[string]string{}
	}
	if changed.Labels == nil {
		changed.Labels = map[string]string{}
	}
	changed.Data[certs.RootFile], changed.Labels[configLabel] = roots, "true"
	if _, err := r.client.CoreV1().ConfigMaps(name).Update(ctx, changed, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("update configmap %s/%s: %w", name, RootConfigMap, err)
	}
	return nil
}

func (r *RootConfigMaps) create(ctx context.Context, namespace, roots string) error {
	_, err := r.client.CoreV1().ConfigMaps(namespace).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: RootConfigMap, Namespace: namespace, Labels: map[string]string{configLabel: "true"}},
		Data:       map[string]string{certs.RootFile: roots},
	}, metav1.CreateOptions{})
	// A namespace on its way out takes nothing new, and needs nothing.
	if err == nil || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil
	}
	if apierrors.IsNotFound(err) {
		return nil // the namespace is gone
	}
	if apierrors.IsAlreadyExists(err) {
		err = errors.New("someone else just made it") // our cache is about to hear of it
	}
	return fmt.Errorf("create configmap %s/%s: %w", namespace, RootConfigMap, err)
}
