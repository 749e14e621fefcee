package kube

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/isthmus-mesh/isthmus/api/label"
)

// ControlPlane is one running pod of istiod.
type ControlPlane struct {
	Pod      string
	Revision string
	// Image tag of the container; what to show when the pod does not answer.
	ImageTag string
}

// ControlPlanes lists the running istiod pods of a namespace, of one revision or, when it is empty, of all.
func (c *Client) ControlPlanes(ctx context.Context, namespace, revision string) ([]ControlPlane, error) {
	selector := "app=istiod"
	if revision != "" {
		selector += "," + label.Revision + "=" + revision
	}
	pods, err := c.Core.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{
		LabelSelector: selector, FieldSelector: "status.phase=" + string(corev1.PodRunning),
	})
	if err != nil {
		return nil, fmt.Errorf("list istiod pods in %s: %w", namespace, err)
	}
	var out []ControlPlane
	for _, pod := range pods.Items {
		cp := ControlPlane{Pod: pod.Name, Revision: pod.Labels[label.Revision]}
		for _, container := range pod.Spec.Containers {
			if container.Name == "discovery" {
				cp.ImageTag = container.Image[strings.LastIndexByte(container.Image, ':')+1:]
			}
		}
		out = append(out, cp)
	}
	return out, nil
}

// InjectedPods lists the pods, as namespace/name, that a revision of the control plane injected; gateways among them.
func (c *Client) InjectedPods(ctx context.Context, revision string) ([]string, error) {
	pods := c.metadata.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"})
	var out []string
	options := metav1.ListOptions{Limit: 500}
	for {
		list, err := pods.List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("list pods: %w", err)
		}
		for _, pod := range list.Items {
			if pod.Annotations[label.Status] != "" && pod.Annotations[label.Revision] == revision {
				out = append(out, pod.Namespace+"/"+pod.Name)
			}
		}
		if options.Continue = list.Continue; options.Continue == "" {
			return out, nil
		}
	}
}
