package synthetic

import "github.com/isthmus-mesh/isthmus/api/label"

// Labels are those of a pod that has a sidecar.
func (p Pod) Labels() map[string]string {
	return map[string]string{
		"app": p.Service.Name, "version": "v1", "pod-template-hash": "6b7f9c8d5",
		label.TLSMode: "istio", label.CanonicalName: p.Service.Name, label.CanonicalRevision: "v1",
	}
}
