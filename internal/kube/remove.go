package kube

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/isthmus-mesh/isthmus/internal/install"
)

// Find lists the objects of some kinds that a label selector matches, in all namespaces, with nothing but their names and labels.
// Kinds that the cluster does not know are passed over.
func (c *Client) Find(ctx context.Context, kinds []schema.GroupVersionKind, selector string) ([]install.Found, error) {
	var found []install.Found
	for _, kind := range kinds {
		mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("find objects of kind %s: %w", kind.Kind, err)
		}
		list, err := c.metadata.Resource(mapping.Resource).List(ctx, metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			return nil, fmt.Errorf("list objects of kind %s: %w", kind.Kind, err)
		}
		for _, item := range list.Items {
			ref := install.Ref{GroupVersionKind: kind, Namespace: item.Namespace, Name: item.Name}
			found = append(found, install.Found{Ref: ref, Labels: item.Labels})
		}
	}
	return found, nil
}

// Delete removes objects in their order and calls removed for each that was there. It goes on after an error.
func (c *Client) Delete(ctx context.Context, refs []install.Ref, dryRun bool, removed func(install.Ref)) error {
	background := metav1.DeletePropagationBackground
	options := metav1.DeleteOptions{PropagationPolicy: &background}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	var errs []error
	for _, ref := range refs {
		resource, err := c.resource(ref.GroupVersionKind, ref.Namespace)
		if err == nil {
			err = resource.Delete(ctx, ref.Name, options)
		}
		switch {
		case err == nil:
			removed(ref)
		case !apierrors.IsNotFound(err):
			errs = append(errs, fmt.Errorf("delete %s: %w", ref, err))
		}
	}
	return errors.Join(errs...)
}

// WaitGone returns when those of the objects that are of the kind no longer exist.
func (c *Client) WaitGone(ctx context.Context, refs []install.Ref, kind string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for _, ref := range refs {
		if ref.Kind != kind {
			continue
		}
		for {
			resource, err := c.resource(ref.GroupVersionKind, ref.Namespace)
			if err == nil {
				_, err = resource.Get(ctx, ref.Name, metav1.GetOptions{})
			}
			if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s is still being removed after %v: objects of its kind may have finalizers", ref, timeout)
			case <-ticker.C:
			}
		}
	}
	return nil
}
