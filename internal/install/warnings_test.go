package install_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/isthmus-mesh/isthmus/internal/install"
)

// around is a cluster in which some documents are installed.
func around(t *testing.T, plans ...install.Plan) install.Surroundings {
	t.Helper()
	out := install.Surroundings{Kubernetes: "v1.32.0"}
	for _, found := range inCluster(t, plans...) {
		if found.Kind == "Deployment" && found.Labels["app"] == "istiod" {
			out.ControlPlanes = append(out.ControlPlanes, found)
		}
	}
	for _, plan := range plans {
		for name, o := range objectsOf(t, render(t, plan)) {
			var hook admissionv1.MutatingWebhookConfiguration
			if o.GetKind() != "MutatingWebhookConfiguration" {
				continue
			}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &hook); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			out.Webhooks = append(out.Webhooks, hook)
		}
	}
	return out
}

func TestWarningsNameWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	mine, canary := resolve(t, []string{"values.global.network=network1"}), resolve(t, []string{"revision=canary"})
	gateway := resolve(t, []string{"values.global.network=network2"}, eastwest)
	const second = "another control plane is there: Deployment istio-system/istiod-canary, revision canary; it stays, and goes with `uninstall --revision canary`"
	cases := []struct {
		name   string
		plan   install.Plan
		there  []install.Plan
		change func(*install.Surroundings)
		want   []string
	}{
		{"nothing", mine, nil, nil, nil},
		{"the same again", mine, []install.Plan{mine}, nil, nil},
		{"an old Kubernetes", mine, nil, func(s *install.Surroundings) { s.Kubernetes = "v1.31.4" }, []string{
			"Kubernetes v1.31.4 is older than 1.32: upgrade the cluster, or expect parts of the mesh not to work",
		}},
		{"another network", gateway, []install.Plan{mine}, func(s *install.Surroundings) { s.Network = "network1" }, []string{
			"namespace istio-system is labelled topology.istio.io/network=network1, which wins over values.global.network=network2: change one of them",
		}},
		{"another revision", mine, []install.Plan{canary}, nil, []string{second}},
		{"only another revision", canary, nil, nil, []string{
			"there is no control plane of the default revision, so namespaces labelled istio-injection=enabled get no sidecars: use label istio.io/rev=canary",
		}},
		{"a second revision", canary, []install.Plan{mine, canary}, nil, []string{
			"another control plane is there: Deployment istio-system/istiod, revision default; it stays, and goes with `uninstall --revision default`",
		}},
		{"another installer's", mine, []install.Plan{mine}, func(s *install.Surroundings) { delete(s.ControlPlanes[0].Labels, "operator.istio.io/component") }, []string{
			"Deployment istio-system/istiod was not made by this installer, which takes it over: go on with helm if that made it, or remove it first",
		}},
		{"a newer one", mine, []install.Plan{mine}, func(s *install.Surroundings) { s.ControlPlanes[0].Labels["operator.istio.io/version"] = "1.30.0" }, []string{
			"Deployment istio-system/istiod is of version 1.30.0, and this is 0.1.0: to keep it, use the command line of that version",
		}},
		{"another injector", mine, []install.Plan{mine}, func(s *install.Surroundings) { s.Webhooks[0].Name = "istio-revision-tag-default" }, []string{
			"MutatingWebhookConfiguration/istio-revision-tag-default injects the same pods: remove it, or install with another revision",
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cluster := around(t, c.there...)
			if c.change != nil {
				c.change(&cluster)
			}
			if diff := cmp.Diff(c.want, install.Warnings(c.plan, render(t, c.plan), cluster)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestGatewaysAreOneWave(t *testing.T) {
	t.Parallel()
	var titles []string
	for _, wave := range install.Waves(render(t, resolve(t, []string{"profile=demo"}))) {
		titles = append(titles, wave.Title())
	}
	if diff := cmp.Diff([]string{"Istio core", "Istiod", "Ingress gateways, Egress gateways"}, titles); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
