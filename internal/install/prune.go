package install

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/isthmus-mesh/isthmus/api/label"
)

// Ref names an object of a cluster.
type Ref struct {
	schema.GroupVersionKind
	Namespace string // empty for cluster-wide objects
	Name      string
}

// String is the object as Kind/name.namespace.
func (r Ref) String() string {
	if r.Namespace == "" {
		return fmt.Sprintf("%s/%s", r.Kind, r.Name)
	}
	return fmt.Sprintf("%s/%s.%s", r.Kind, r.Name, r.Namespace)
}

// Found is an object that carries the label of a component.
type Found struct {
	Ref
	Labels map[string]string
}

// Kinds are those that the charts can make, in the order in which they can be deleted: who uses others goes first. The
// definitions of custom resources are not among them, since all configuration of the mesh would go with them.
var Kinds = []schema.GroupVersionKind{
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingWebhookConfiguration"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingWebhookConfiguration"},
	{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"},
	{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
	{Group: "apps", Version: "v1", Kind: "Deployment"},
	{Group: "apps", Version: "v1", Kind: "DaemonSet"},
	{Version: "v1", Kind: "Service"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRoleBinding"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"},
	{Version: "v1", Kind: "ConfigMap"},
	{Version: "v1", Kind: "ServiceAccount"},
}

// CRDKind is the kind of custom resource definitions.
var CRDKind = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}

// Stale picks, of the objects in the cluster, those that an earlier run of the same document made and this one no longer
// makes. The same document is: the same owner's name, or none on both sides, the same revision, and the same namespace of the
// control plane.
func Stale(p Plan, parts []Part, inCluster []Found) []Ref {
	made, owners := madeBy(parts), p.owners(parts)
	var stale []Ref
	for _, f := range inCluster {
		ours := owners[f.Labels[label.Owner]] && f.Labels[label.Revision] == p.RevisionLabel() && f.controlPlane() == p.Namespace &&
			f.Labels[label.Component] != "" && f.Kind != CRDKind.Kind
		if ours && !made[f.Ref] {
			stale = append(stale, f.Ref)
		}
	}
	return stale
}

// controlPlane is the namespace of the control plane that an object belongs to. Objects of builds that did not write it down count
// for the namespace that they stand in; what is cluster-wide among them is nobody's, since a wrong guess would break another mesh.
func (f Found) controlPlane() string { return or(f.Labels[label.OwnerNamespace], f.Namespace) }

// owners are the identities that the plan installs under.
func (p Plan) owners(parts []Part) map[string]bool {
	owners := map[string]bool{}
	if !p.anonymous() {
		owners[p.Name] = true
	}
	for _, part := range parts {
		owners[p.owner(part.Name)] = true
	}
	return owners
}

// Installed picks, of the objects in the cluster, those that the document makes, but for the component Base: other control
// planes may share it.
func Installed(p Plan, parts []Part, inCluster []Found) []Ref {
	made, owners := madeBy(parts), p.owners(parts)
	owners[p.Name] = true // of a gateway without a name, as builds before this one labelled it
	var out []Ref
	for _, f := range inCluster {
		if made[f.Ref] && f.Labels[label.Component] != Base && owners[f.Labels[label.Owner]] {
			out = append(out, f.Ref)
		}
	}
	return out
}

// OfRevision picks everything of a revision but the component Base.
func OfRevision(revision string, inCluster []Found) []Ref {
	var out []Ref
	for _, f := range inCluster {
		if f.Labels[label.Revision] == revision && f.Labels[label.Component] != Base {
			out = append(out, f.Ref)
		}
	}
	return out
}

// madeBy is the set of objects of the parts.
func madeBy(parts []Part) map[Ref]bool {
	made := map[Ref]bool{}
	for _, part := range parts {
		for _, o := range part.Objects {
			made[Ref{o.GroupVersionKind(), o.GetNamespace(), o.GetName()}] = true
		}
	}
	return made
}
