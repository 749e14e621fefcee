package install_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/api/operator"
	"github.com/isthmus-mesh/isthmus/charts"
	"github.com/isthmus-mesh/isthmus/internal/install"
)

const header = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\n"

func profiles(t *testing.T) fs.FS {
	t.Helper()
	p, err := fs.Sub(charts.FS, "profiles")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// resolve merges documents that are given without their header.
func resolve(t *testing.T, set []string, docs ...string) install.Plan {
	t.Helper()
	in := install.Input{Set: set, Profiles: profiles(t)}
	for _, doc := range docs {
		in.Files = append(in.Files, install.Source{Name: "test.yaml", Data: []byte(header + doc)})
	}
	plan, err := install.Resolve(in)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func enabled(gateways []operator.Gateway) []string {
	var names []string
	for _, g := range gateways {
		if operator.On(g.Enabled) {
			names = append(names, g.Name)
		}
	}
	return names
}

func TestLaterSourcesWin(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		set  []string
		docs []string
		want string // network
	}{
		{"nothing says one", nil, nil, ""},
		{"a file", nil, []string{"spec: {values: {global: {network: one}}}"}, "one"},
		{"a later file", nil, []string{"spec: {values: {global: {network: one}}}", "spec: {values: {global: {network: two}}}"}, "two"},
		{"a file that says something else", nil, []string{"spec: {values: {global: {network: one}}}", "spec: {values: {global: {meshID: m}}}"}, "one"},
		{"null takes away", nil, []string{"spec: {values: {global: {network: one}}}", "spec: {values: {global: {network: null}}}"}, ""},
		{"--set over files", []string{"values.global.network=three"}, []string{"spec: {values: {global: {network: one}}}"}, "three"},
		{"the last --set", []string{"values.global.network=three", "values.global.network=four"}, nil, "four"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := resolve(t, c.set, c.docs...).Network; got != c.want {
				t.Errorf("network %q, want %q", got, c.want)
			}
		})
	}
}

func TestProfilesSayWhatIsInstalled(t *testing.T) {
	t.Parallel()
	cases := []struct {
		profile         string
		base, pilot     bool
		ingress, egress []string
	}{
		{"default", true, true, []string{"istio-ingressgateway"}, nil},
		{"minimal", true, true, nil, nil},
		{"empty", false, false, nil, nil},
		{"demo", true, true, []string{"istio-ingressgateway"}, []string{"istio-egressgateway"}},
	}
	for _, c := range cases {
		t.Run(c.profile, func(t *testing.T) {
			t.Parallel()
			plan := resolve(t, []string{"profile=" + c.profile})
			parts := plan.Spec.Components
			if operator.On(parts.Base.Enabled) != c.base || operator.On(parts.Pilot.Enabled) != c.pilot {
				t.Errorf("base %v, pilot %v", operator.On(parts.Base.Enabled), operator.On(parts.Pilot.Enabled))
			}
			if diff := cmp.Diff(c.ingress, enabled(parts.IngressGateways)); diff != "" {
				t.Errorf("ingress gateways: -want +got\n%s", diff)
			}
			if diff := cmp.Diff(c.egress, enabled(parts.EgressGateways)); diff != "" {
				t.Errorf("egress gateways: -want +got\n%s", diff)
			}
			if len(plan.Problems) > 0 {
				t.Error(plan.Problems)
			}
		})
	}
}

func TestGatewaysOfAFileJoinThoseOfTheProfile(t *testing.T) {
	t.Parallel()
	plan := resolve(t, nil, `
spec:
  components:
    ingressGateways:
    - {name: mine, enabled: true}
    - {name: istio-ingressgateway, k8s: {replicaCount: 2}}
`)
	gateways := plan.Spec.Components.IngressGateways
	if diff := cmp.Diff([]string{"istio-ingressgateway", "mine"}, enabled(gateways)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if n := gateways[0].K8s.ReplicaCount; n == nil || *n != 2 || gateways[0].Label["istio"] != "ingressgateway" {
		t.Errorf("the profile's gateway lost something: %+v", gateways[0])
	}
}

func TestSetReadsPathsAndTypes(t *testing.T) {
	t.Parallel()
	plan := resolve(t, []string{
		"values.pilot.env.A=true", "values.pilot.replicaCount=2", "values.pilot.traceSampling=0.5", "revision=canary",
		`values.pilot.podAnnotations.example\.com/a=x,y=z`, "components.ingressGateways[0].enabled=false",
	})
	want := map[string]any{
		"env": map[string]any{"A": true}, "replicaCount": int64(2), "traceSampling": 0.5,
		"podAnnotations": map[string]any{"example.com/a": "x,y=z"},
	}
	if diff := cmp.Diff(want, plan.Spec.Values["pilot"]); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if plan.Revision != "canary" || len(enabled(plan.Spec.Components.IngressGateways)) > 0 || len(plan.Problems) > 0 {
		t.Errorf("revision %q, gateways %v, problems %v", plan.Revision, enabled(plan.Spec.Components.IngressGateways), plan.Problems)
	}
}

func TestSetMakesStringsWhereTheFieldIsOne(t *testing.T) {
	t.Parallel()
	plan := resolve(t, []string{
		"revision=1", "tag=1.10", "values.global.network=7", "components.pilot.k8s.nodeSelector.a=true", "components.pilot.k8s.replicaCount=2",
		"components.pilot.k8s.env[0].name=A", "components.pilot.k8s.env[0].value=5",
	})
	k := plan.Spec.Components.Pilot.K8s
	if plan.Revision != "1" || plan.Tag() != "1.10" || plan.Network != "7" || k.NodeSelector["a"] != "true" || *k.ReplicaCount != 2 ||
		k.Env[0].Value != "5" || len(plan.Problems) > 0 {
		t.Errorf("%+v, problems %v", k, plan.Problems)
	}
}

func TestProblemsNameTheirSourceAndComeAllAtOnce(t *testing.T) {
	t.Parallel()
	plan := resolve(t, []string{"values.globl.network=a"}, "spec: {tag: 1.8, profil: demo, revision: A}")
	var got []string
	for _, p := range plan.Problems {
		got = append(got, p.String())
	}
	want := []string{
		`test.yaml: spec.profil: unknown field; did you mean "profile"?`,
		`test.yaml: spec.tag: must be a string, is a number; put it in quotes: "1.8"`,
		`--set values.globl.network=a: spec.values.globl: unknown field; did you mean "global"?`,
		`spec.revision: invalid revision specified: A; use lower case letters, digits and '-', at most 63`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestOneBadValueLeavesTheRestReadable(t *testing.T) {
	t.Parallel()
	plan := resolve(t, nil, `
spec:
  components:
    pilot: {k8s: {resources: {limits: {cpu: lots}}}}
    ingressGateways:
    - {name: istio-ingressgateway, enabled: "yes"}
    - {name: mine, enabled: true, k8s: {podAnnotations: {example.com/a: 5}}}
  values:
    global: {network: network1, proxy: {resources: {requests: {memory: much}}}}
    pilot: {replicaCount: 3}
    sidecarInjectorWebhook: {reinvocationPolicy: Never}
`)
	var got []string
	for _, p := range plan.Problems {
		got = append(got, p.Path)
	}
	want := []string{
		"spec.components.ingressGateways[0].enabled", "spec.components.ingressGateways[1].k8s.podAnnotations.example.com/a",
		"spec.components.pilot.k8s.resources.limits.cpu", "spec.values.global.proxy.resources.requests.memory",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if plan.Network != "network1" || plan.Values.Pilot.ReplicaCount == nil || len(plan.Spec.Components.IngressGateways) != 2 {
		t.Errorf("something was lost: %+v", plan.Spec.Components.IngressGateways)
	}
}

func TestSettingsWithoutEffectAreWarnings(t *testing.T) {
	t.Parallel()
	plan := resolve(t, []string{"values.pilot.enabled=false", "values.global.proxy.privileged=false"}, `
spec:
  components: {base: {k8s: {resources: {limits: {cpu: 1}}, overlays: []}}}
  values:
    pilot: {traceSampling: 100, keepaliveMaxServerConnectionAge: 30m}
    global: {resourceScope: all, platform: gke}
    gateways: {istio-egressgateway: {enabled: true}}
`)
	var got []string
	for _, w := range plan.Warnings {
		got = append(got, w.String())
	}
	const text = ": accepted, but has no effect yet"
	want := []string{
		"test.yaml: spec.components.base.k8s.resources" + text + "; the component has no workload; it only takes overlays",
		"test.yaml: spec.values.gateways.istio-egressgateway.enabled" + text + "; use enabled below spec.components.ingressGateways or egressGateways",
		"test.yaml: spec.values.global.platform" + text,
		"test.yaml: spec.values.pilot.keepaliveMaxServerConnectionAge" + text,
		"test.yaml: spec.values.pilot.traceSampling" + text + "; tracing is not yet supported",
		"--set values.pilot.enabled=false: spec.values.pilot.enabled" + text + "; use spec.components.pilot.enabled",
	}
	if diff := cmp.Diff(want, got); diff != "" || len(plan.Problems) > 0 {
		t.Errorf("problems %v, -want +got\n%s", plan.Problems, diff)
	}
}

func TestDocumentsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, text, set, want string }{
		{"two documents", header + "---\n" + header, "", "contains multiple IstioOperator CRs, only one per file is supported"},
		{"two with a comment between", header + "--- # the second\n" + header, "", "contains multiple IstioOperator CRs"},
		{"another kind", "apiVersion: v1\nkind: Pod\n", "", "apiVersion is v1, must be install.istio.io/v1alpha1"},
		{"an error message on a pipe", "Must specify either --single-cluster or --network.\n", "", "is no document"},
		{"a key that is there twice", header + "spec: {}\nspec: {}\n", "", `key "spec" already set`},
		{"no YAML", header + "spec: [\n", "", "not readable as YAML"},
		{"a remote profile", header + "spec: {profile: remote}", "", "profile remote is not yet supported"},
		{"no such profile", header + "spec: {profile: demmo}", "", `profile "demmo" is not known; there are default, demo, empty, minimal`},
		{"--set without a value", "", "profile", "--set profile: must be path=value"},
		{"--set below a word", header + "spec: {hub: a}", "hub.b=c", "b is below something that is not a map"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := install.Input{Profiles: profiles(t), Files: []install.Source{{Name: "test.yaml", Data: []byte(c.text)}}}
			if c.set != "" {
				in.Set = []string{c.set}
			}
			_, err := install.Resolve(in)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestBlankLinesAndCurlyQuotesAreYAML(t *testing.T) {
	t.Parallel()
	in := install.Input{Profiles: profiles(t), Files: []install.Source{{
		Name: "guide.yaml", Data: []byte("\n" + header + "spec:\n  values: # the “network” of this cluster’s pods\n    global: {network: network1}\n---\n"),
	}}}
	plan, err := install.Resolve(in)
	if err != nil || plan.Network != "network1" {
		t.Errorf("network %q, error %v", plan.Network, err)
	}
}

func TestANetworkWithoutAnythingBelowItStaysDeclared(t *testing.T) {
	t.Parallel()
	plan := resolve(t, nil, "spec: {values: {global: {meshNetworks: {network1: null}}}}")
	want := map[string]any{"network1": map[string]any{}}
	if diff := cmp.Diff(want, plan.Values.Global.MeshNetworks); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
