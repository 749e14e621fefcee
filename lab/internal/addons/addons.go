// Package addons holds what the lab puts into each new cluster through its API server: cluster DNS, and the permissions of the lab's own
// daemons. The package lab applies it.
package addons

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"

	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"

	"github.com/isthmus-mesh/isthmus/lab/internal/pki"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

// CoreDNSImage is the image of cluster DNS. The lab makes it.
const CoreDNSImage = "lab.isthmus.io/coredns:1"

//go:embed addons.yaml
var manifests string

// Render returns the objects for a cluster.
func Render(c plan.Cluster) ([]*unstructured.Unstructured, error) {
	text := strings.NewReplacer(
		"$DNS_ADDRESS", c.DNSService().String(),
		"$COREDNS_IMAGE", CoreDNSImage,
		"$CLOUD_CONTROLLER", pki.CloudController,
		"$KUBELET_CLIENT", pki.KubeletClient,
	).Replace(manifests)
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read addons: %w", err)
		}
		objects = append(objects, object)
	}
}

// resources says where objects of each kind in addons.yaml go.
var resources = map[string]schema.GroupVersionResource{
	"ServiceAccount":     {Version: "v1", Resource: "serviceaccounts"},
	"ConfigMap":          {Version: "v1", Resource: "configmaps"},
	"Service":            {Version: "v1", Resource: "services"},
	"Deployment":         {Group: "apps", Version: "v1", Resource: "deployments"},
	"ClusterRole":        {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
	"ClusterRoleBinding": {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
}

// Apply applies the objects in order. Applying them again changes nothing.
func Apply(ctx context.Context, client dynamic.Interface, objects []*unstructured.Unstructured) error {
	for _, object := range objects {
		resource, ok := resources[object.GetKind()]
		if !ok {
			return fmt.Errorf("apply %s: no resource is known for this kind", object.GetKind())
		}
		var where dynamic.ResourceInterface = client.Resource(resource)
		if namespace := object.GetNamespace(); namespace != "" {
			where = client.Resource(resource).Namespace(namespace)
		}
		options := meta.ApplyOptions{FieldManager: "isthmus-lab", Force: true}
		if _, err := where.Apply(ctx, object.GetName(), object, options); err != nil {
			return fmt.Errorf("apply %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}
