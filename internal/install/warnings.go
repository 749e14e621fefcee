package install

import (
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	kubeversion "k8s.io/apimachinery/pkg/util/version"

	"github.com/isthmus-mesh/isthmus/api/label"
	"github.com/isthmus-mesh/isthmus/api/operator"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

// oldestKubernetes is the first release that the mesh is made for.
const oldestKubernetes = "1.32"

// Surroundings are what is in a cluster before an installation. What is not known is left empty.
type Surroundings struct {
	Kubernetes    string // version of the API server
	Network       string // label of the control plane's namespace
	ControlPlanes []Found
	Webhooks      []admissionv1.MutatingWebhookConfiguration
}

// Warnings says what of the surroundings does not go well with a plan and what to do about it, a line each. None of it stops an
// installation.
func Warnings(p Plan, parts []Part, around Surroundings) []string {
	var lines []string
	if old, err := kubeversion.MustParseGeneric(oldestKubernetes).Compare(around.Kubernetes); err == nil && old > 0 {
		lines = append(lines, fmt.Sprintf("Kubernetes %s is older than %s: upgrade the cluster, or expect parts of the mesh not to work", around.Kubernetes, oldestKubernetes))
	}
	if around.Network != "" && p.Network != "" && around.Network != p.Network {
		lines = append(lines, fmt.Sprintf("namespace %s is labelled %s=%s, which wins over values.global.network=%s: change one of them",
			p.Namespace, label.Network, around.Network, p.Network))
	}
	if !operator.On(p.Spec.Components.Pilot.Enabled) {
		return lines
	}
	for _, found := range around.ControlPlanes {
		if line := p.besides(found); line != "" {
			lines = append(lines, line)
		}
	}
	return append(lines, p.injection(madeBy(parts), around)...)
}

// besides says what it means that a control plane is there already; empty when it is the one that is installed again.
func (p Plan) besides(found Found) string {
	revision, installed := or(found.Labels[label.Revision], "default"), found.Labels[label.Version]
	what := fmt.Sprintf("Deployment %s/%s", found.Namespace, found.Name)
	switch {
	case found.Namespace != p.Namespace || revision != p.RevisionLabel():
		return fmt.Sprintf("another control plane is there: %s, revision %s; it stays, and goes with `uninstall --revision %s`", what, revision, revision)
	case found.Labels[label.Component] == "":
		return what + " was not made by this installer, which takes it over: go on with helm if that made it, or remove it first"
	case newer(installed, version.Version):
		return fmt.Sprintf("%s is of version %s, and this is %s: to keep it, use the command line of that version", what, installed, version.Version)
	}
	return ""
}

// newer reports whether a version comes after another; false when one is none.
func newer(a, b string) bool {
	parsed, err := kubeversion.ParseGeneric(a)
	if err != nil {
		return false
	}
	order, err := parsed.Compare(b)
	return err == nil && order > 0
}

// injection says who else injects the pods of this control plane, and that of the default revision nobody injects any.
func (p Plan) injection(made map[Ref]bool, around Surroundings) []string {
	var lines []string
	enabled, revision := labels.Set{label.Injection: "enabled"}, labels.Set{label.Revision: p.RevisionLabel()}
	served := p.Revision == ""
	for _, hook := range around.Webhooks {
		ref := Ref{Kinds[0], "", hook.Name}
		if made[ref] {
			continue
		}
		served = served || injects(hook, enabled)
		if injects(hook, revision) || p.Revision == "" && injects(hook, enabled) {
			lines = append(lines, fmt.Sprintf("%s injects the same pods: remove it, or install with another revision", ref))
		}
	}
	if !served {
		lines = append(lines, fmt.Sprintf("there is no control plane of the default revision, so namespaces labelled %s=enabled get no sidecars: use label %s=%s",
			label.Injection, label.Revision, p.Revision))
	}
	return lines
}

// injects reports whether a webhook injects sidecars into the pods of a namespace with the labels.
func injects(hook admissionv1.MutatingWebhookConfiguration, namespace labels.Set) bool {
	for _, h := range hook.Webhooks {
		selector, err := metav1.LabelSelectorAsSelector(h.NamespaceSelector)
		if err == nil && strings.HasSuffix(h.Name, "sidecar-injector.istio.io") && selector.Matches(namespace) {
			return true
		}
	}
	return false
}
