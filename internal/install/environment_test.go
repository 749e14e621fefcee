package install_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// environment is the value of each variable of a Deployment's first container; "from elsewhere" for those without one. A name
// that is there twice fails the test, as server-side apply would.
func environment(t *testing.T, deployment *unstructured.Unstructured) map[string]string {
	t.Helper()
	containers, _, _ := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	list, _ := containers[0].(map[string]any)["env"].([]any)
	out := map[string]string{}
	for _, item := range list {
		e := item.(map[string]any)
		name := e["name"].(string)
		if _, twice := out[name]; twice {
			t.Errorf("%s: %s is there twice", deployment.GetName(), name)
		}
		out[name] = "from elsewhere"
		if value, ok := e["value"]; ok {
			out[name] = fmt.Sprint(value)
		}
	}
	return out
}

func TestTheUsersEnvironmentTakesThePlaceOfTheCharts(t *testing.T) {
	t.Parallel()
	before := environment(t, objectsOf(t, render(t, resolve(t, nil)))["Deployment/istiod"])
	plan := resolve(t, []string{"values.pilot.env.CLUSTER_ID=mine", "values.pilot.env.EXTRA=1", "values.pilot.env.REVISION=lost"}, `
spec:
  components:
    pilot:
      k8s:
        env:
        - {name: PILOT_CERT_PROVIDER, value: other}
        - {name: GOMEMLIMIT, value: 1GiB}
        - {name: REVISION, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
`)
	want := maps.Clone(before)
	maps.Copy(want, map[string]string{
		"CLUSTER_ID": "mine", "EXTRA": "1", "PILOT_CERT_PROVIDER": "other", "GOMEMLIMIT": "1GiB", "REVISION": "from elsewhere",
	})
	got := environment(t, objectsOf(t, render(t, plan))["Deployment/istiod"])
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestAGatewaysEnvironmentHasEachNameOnce(t *testing.T) {
	t.Parallel()
	plan := resolve(t, []string{"values.gateways.istio-ingressgateway.env.A=1", "values.gateways.istio-ingressgateway.env.B=1"}, `
spec:
  components:
    ingressGateways:
    - name: istio-ingressgateway
      k8s: {env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]}
`)
	want := map[string]string{"A": "from elsewhere", "B": "1"}
	if diff := cmp.Diff(want, environment(t, objectsOf(t, render(t, plan))["Deployment/istio-ingressgateway"])); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	name := "ISTIO_META_REQUESTED_NETWORK_VIEW"
	deployment := helmTemplate(t, "east", "gateway", map[string]any{
		"networkGateway": "network1",
		"envVarFrom":     []any{map[string]any{"name": name, "valueFrom": map[string]any{"fieldRef": map[string]any{"fieldPath": "metadata.name"}}}},
	})["Deployment/east"]
	if n := strings.Count(deployment, name); n != 1 {
		t.Errorf("%s is there %d times", name, n)
	}
}
