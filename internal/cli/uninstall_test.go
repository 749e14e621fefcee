package cli

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/isthmus-mesh/isthmus/internal/install"
)

func TestUninstallSaysWhatLosesItsControlPlane(t *testing.T) {
	t.Parallel()
	deployment := func(name string) install.Ref {
		return install.Ref{GroupVersionKind: schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"}, Namespace: "istio-system", Name: name}
	}
	injected := func(revision string) ([]string, error) {
		return map[string][]string{"canary": {"sample/sleep-1"}, "default": {"sample/sleep-2", "sample/sleep-3"}}[revision], nil
	}
	cases := []struct {
		name     string
		selected selection
		want     string
	}{
		{"everything", selection{}, "All Istio resources will be pruned from the cluster"},
		{"the default revision", selection{[]install.Ref{deployment("istiod")}, "default"}, "There are still 2 proxies of revision default: sample/sleep-2, sample/sleep-3. They lose their control plane."},
		{"another one", selection{[]install.Ref{deployment("istiod-canary")}, "canary"}, "There are still 1 proxy of revision canary: sample/sleep-1. They lose their control plane."},
		{"one without proxies", selection{[]install.Ref{deployment("istiod-old")}, "old"}, ""},
		{"a gateway", selection{[]install.Ref{deployment("east")}, "default"}, "Gateway east in namespace istio-system will be removed."},
	}
	for _, c := range cases {
		if got, err := c.selected.warning(injected); got != c.want || err != nil {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}
