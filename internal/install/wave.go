package install

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/api/label"
)

// Wave is what is applied together; it has to work before the next one starts.
type Wave struct {
	Titles  []string // of its components, for people
	Objects []*unstructured.Unstructured
}

// Title names the wave as a whole.
func (w Wave) Title() string { return strings.Join(w.Titles, ", ") }

// waves are the components in the order of installation. Gateways need istiod, which injects them, and not each other.
var waves = [][]struct{ component, title string }{
	{{Base, "Istio core"}},
	{{Pilot, "Istiod"}},
	{{IngressGateways, "Ingress gateways"}, {EgressGateways, "Egress gateways"}},
}

// Waves groups the parts.
func Waves(parts []Part) []Wave {
	var out []Wave
	for _, components := range waves {
		var wave Wave
		for _, c := range components {
			before := len(wave.Objects)
			for _, part := range parts {
				if part.Component == c.component {
					wave.Objects = append(wave.Objects, part.Objects...)
				}
			}
			if len(wave.Objects) > before {
				wave.Titles = append(wave.Titles, c.title)
			}
		}
		if len(wave.Objects) > 0 {
			out = append(out, wave)
		}
	}
	return out
}

// HasControlPlane reports whether istiod is among the parts.
func HasControlPlane(parts []Part) bool {
	return slices.ContainsFunc(parts, func(p Part) bool { return p.Component == Pilot })
}

// Namespaces are those that the objects of the parts stand in, the control plane's first.
func Namespaces(p Plan, parts []Part) []string {
	out := []string{p.Namespace}
	for _, part := range parts {
		for _, object := range part.Objects {
			if ns := object.GetNamespace(); ns != "" && !slices.Contains(out, ns) {
				out = append(out, ns)
			}
		}
	}
	return out
}

// SplitDefinitions parts custom resource definitions from the rest.
func SplitDefinitions(objects []*unstructured.Unstructured) (definitions, others []*unstructured.Unstructured) {
	for _, object := range objects {
		if object.GetKind() == CRDKind.Kind {
			definitions = append(definitions, object)
		} else {
			others = append(others, object)
		}
	}
	return definitions, others
}

// MadeBy is the label selector of everything that installations of the plan's revision made; Stale tells whose it is.
func MadeBy(p Plan) string { return label.Component + "," + label.Revision + "=" + p.RevisionLabel() }
