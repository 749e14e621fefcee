package kube

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/isthmus-mesh/isthmus/api/label"
)

// Apply makes the objects as they are given, in their order, by server-side apply: fields that others own (a webhook's
// caBundle, an autoscaler's replicas) stay. An object that is as it should be is not written. With dryRun the API server
// checks everything and stores nothing.
func (c *Client) Apply(ctx context.Context, objects []*unstructured.Unstructured, dryRun bool) error {
	options := metav1.ApplyOptions{FieldManager: FieldManager, Force: true}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	var errs []error
	for _, object := range objects {
		if err := c.applyOne(ctx, object, options); err != nil {
			errs = append(errs, fmt.Errorf("apply %s %s: %w", object.GetKind(), qualified(object), err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

func (c *Client) applyOne(ctx context.Context, object *unstructured.Unstructured, options metav1.ApplyOptions) error {
	resource, err := c.resource(object.GroupVersionKind(), object.GetNamespace())
	if err != nil {
		return err
	}
	_, err = resource.Apply(ctx, object.GetName(), object, options)
	if apierrors.IsNotFound(err) && len(options.DryRun) > 0 {
		return nil // its namespace is not there yet, because nothing is stored
	}
	return err
}

// resource is where objects of a kind are read and written. A kind that is unknown is looked up once more, because it may have
// been defined a moment ago.
func (c *Client) resource(kind schema.GroupVersionKind, namespace string) (dynamic.ResourceInterface, error) {
	mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		c.mapper.Reset()
		mapping, err = c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	}
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return c.dynamic.Resource(mapping.Resource), nil
	}
	return c.dynamic.Resource(mapping.Resource).Namespace(namespace), nil
}

// qualified is an object's namespace and name.
func qualified(object metav1.Object) string {
	if object.GetNamespace() == "" {
		return object.GetName()
	}
	return object.GetNamespace() + "/" + object.GetName()
}

// NamespaceChange is what EnsureNamespace did.
type NamespaceChange int

// What can become of a namespace.
const (
	NamespaceKept NamespaceChange = iota
	NamespaceCreated
	NamespaceLabelled
)

// EnsureNamespace makes the namespace of the control plane. When a network is given, the namespace carries it as the label
// topology.istio.io/network: the cluster's default network. An existing namespace is left alone, but for that label when it is
// absent: people make the namespace beforehand, for the Secret cacerts. A label with another value is never changed.
func (c *Client) EnsureNamespace(ctx context.Context, name, network string) (NamespaceChange, error) {
	namespaces := c.Core.CoreV1().Namespaces()
	existing, err := namespaces.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		fresh := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if network != "" {
			fresh.Labels = map[string]string{label.Network: network}
		}
		if _, err := namespaces.Create(ctx, fresh, metav1.CreateOptions{FieldManager: FieldManager}); err != nil {
			return NamespaceKept, fmt.Errorf("create namespace %s: %w", name, err)
		}
		return NamespaceCreated, nil
	}
	if err != nil {
		return NamespaceKept, fmt.Errorf("read namespace %s: %w", name, err)
	}
	if _, labelled := existing.Labels[label.Network]; labelled || network == "" {
		return NamespaceKept, nil
	}
	changed := existing.DeepCopy()
	if changed.Labels == nil {
		changed.Labels = map[string]string{}
	}
	changed.Labels[label.Network] = network
	if _, err := namespaces.Update(ctx, changed, metav1.UpdateOptions{FieldManager: FieldManager}); err != nil {
		return NamespaceKept, fmt.Errorf("label namespace %s: %w", name, err)
	}
	return NamespaceLabelled, nil
}
