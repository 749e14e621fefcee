package install

import (
	"bytes"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/api/label"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

// Objects reads a stream of YAML documents.
func Objects(data []byte) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, part := range splitYAML(data) {
		tree, err := parseTree(part)
		if err != nil {
			return nil, err
		}
		if tree == nil {
			continue
		}
		object := &unstructured.Unstructured{Object: tree}
		if object.GetKind() == "" || object.GetName() == "" {
			return nil, fmt.Errorf("a document has no kind or no name: %.80q", part)
		}
		objects = append(objects, object)
	}
	return objects, nil
}

// kindOrder is the order in which kinds can be created: what others refer to comes first.
var kindOrder = []string{
	"Namespace", "CustomResourceDefinition", "ServiceAccount", "Secret", "ConfigMap", "ClusterRole", "ClusterRoleBinding",
	"Role", "RoleBinding", "Service", "Deployment", "DaemonSet", "PodDisruptionBudget", "HorizontalPodAutoscaler",
	"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration",
}

// Sorted orders objects by kind, as they can be created, then by namespace and name.
func Sorted(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	rank := func(o *unstructured.Unstructured) int {
		if i := slices.Index(kindOrder, o.GetKind()); i >= 0 {
			return i
		}
		return len(kindOrder) // custom resources, after everything that they may need
	}
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return bytes.Compare([]byte(a.GetKind()+"/"+a.GetNamespace()+"/"+a.GetName()), []byte(b.GetKind()+"/"+b.GetNamespace()+"/"+b.GetName()))
	})
	return objects
}

// Manifest writes objects as one YAML stream.
func Manifest(objects []*unstructured.Unstructured) ([]byte, error) {
	var out bytes.Buffer
	for i, object := range objects {
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			return nil, fmt.Errorf("write %s %s: %w", object.GetKind(), object.GetName(), err)
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(text)
	}
	return out.Bytes(), nil
}

// RevisionLabel is the revision as labels carry it.
func (p Plan) RevisionLabel() string { return or(p.Revision, "default") }

// anonymous reports whether the document has no name and starts from the empty profile. It would share "no name" with the
// installation of the control plane, which would then prune it; so each of its gateways stands for itself.
func (p Plan) anonymous() bool { return p.Name == "" && p.Profile == "empty" }

// owner is the identity behind the objects of a part.
func (p Plan) owner(part string) string {
	if p.anonymous() {
		return part
	}
	return p.Name
}

// own labels an object as made by this plan.
func (p Plan) own(object *unstructured.Unstructured, component, part string) {
	labels := object.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[label.Managed] = "Reconcile"
	labels[label.Component] = component
	labels[label.Version] = version.Version
	labels[label.Revision] = p.RevisionLabel()
	labels[label.OwnerNamespace] = p.Namespace
	if owner := p.owner(part); owner != "" {
		labels[label.Owner] = owner
	}
	object.SetLabels(labels)
}
