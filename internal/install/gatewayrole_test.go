package install_test

import (
	"strings"
	"testing"
)

func TestIstiodMayReadSecretsWhereGatewaysRun(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		values map[string]any
		want   string // the subject that is istiod; empty when there is none
	}{
		{"in its own namespace it may already", nil, ""},
		{"elsewhere", map[string]any{"global": map[string]any{"istioNamespace": "control"}}, "name: istiod\n  namespace: control\n"},
		{
			"of a revision",
			map[string]any{"revision": "canary", "global": map[string]any{"istioNamespace": "control"}},
			"name: istiod-canary\n  namespace: control\n",
		},
		{
			"by name",
			map[string]any{
				"revision": "stable", "rbac": map[string]any{"istiodServiceAccount": "istiod-1-31"},
				"global": map[string]any{"istioNamespace": "control"},
			},
			"name: istiod-1-31\n  namespace: control\n",
		},
	}
	for _, tc := range cases {
		binding := helmTemplate(t, "ingress", "gateway", tc.values)["RoleBinding/ingress-sds"]
		subjects := strings.Count(binding, "kind: ServiceAccount")
		if tc.want == "" && subjects != 1 || tc.want != "" && (subjects != 2 || !strings.Contains(binding, tc.want)) {
			t.Errorf("%s: the binding is\n%s", tc.name, binding)
		}
	}
	off := helmTemplate(t, "ingress", "gateway", map[string]any{"rbac": map[string]any{"enabled": false}})
	if off["RoleBinding/ingress-sds"] != "" || off["Role/ingress-sds"] != "" {
		t.Error("rbac.enabled=false leaves a Role")
	}
}
