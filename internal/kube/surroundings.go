package kube

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/api/label"
	"github.com/isthmus-mesh/isthmus/internal/install"
)

// Surroundings looks at what is in the cluster before an installation into a namespace. What cannot be read is in the error; the
// rest is there all the same.
func (c *Client) Surroundings(ctx context.Context, namespace string) (install.Surroundings, error) {
	var out install.Surroundings
	version, versionErr := c.ServerVersion(ctx)
	out.Kubernetes = version
	ns, nsErr := c.Core.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	if nsErr == nil {
		out.Network = ns.Labels[label.Network]
	} else if apierrors.IsNotFound(nsErr) {
		nsErr = nil
	}
	istiods, istiodErr := c.Core.AppsV1().Deployments("").List(ctx, metav1.ListOptions{LabelSelector: "app=istiod"})
	if istiodErr == nil {
		for _, d := range istiods.Items {
			ref := install.Ref{GroupVersionKind: appsv1.SchemeGroupVersion.WithKind("Deployment"), Namespace: d.Namespace, Name: d.Name}
			out.ControlPlanes = append(out.ControlPlanes, install.Found{Ref: ref, Labels: d.Labels})
		}
	}
	hooks, hookErr := c.Core.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if hookErr == nil {
		out.Webhooks = hooks.Items
	}
	if err := errors.Join(versionErr, nsErr, istiodErr, hookErr); err != nil {
		return out, fmt.Errorf("look at what is in the cluster: %w", err)
	}
	return out, nil
}
