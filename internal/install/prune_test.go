package install_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/install"
)

// inCluster is everything that some documents made, with its labels, as it is found in a cluster.
func inCluster(t *testing.T, plans ...install.Plan) []install.Found {
	t.Helper()
	var found []install.Found
	for _, plan := range plans {
		for _, part := range render(t, plan) {
			for _, o := range part.Objects {
				ref := install.Ref{GroupVersionKind: o.GroupVersionKind(), Namespace: o.GetNamespace(), Name: o.GetName()}
				found = append(found, install.Found{Ref: ref, Labels: o.GetLabels()})
			}
		}
	}
	return found
}

func deployments(refs []install.Ref) []string {
	var out []string
	for _, r := range refs {
		if r.Kind == "Deployment" {
			out = append(out, r.Name)
		}
	}
	return out
}

const (
	eastwest = `
metadata: {name: eastwest}
spec:
  profile: empty
  components: {ingressGateways: [{name: istio-eastwestgateway, enabled: true}]}
`
	namelessGateway = `
spec:
  profile: empty
  components: {ingressGateways: [{name: extra, enabled: true}]}
`
)

func TestOnlyTheSameDocumentPrunes(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		before []string // documents installed earlier
		set    []string
		now    string
		want   []string // Deployments that are pruned
	}{
		{"the same again", []string{""}, nil, "", nil},
		{"a gateway is switched off", []string{""}, []string{"profile=minimal"}, "", []string{"istio-ingressgateway"}},
		{"the control plane leaves another owner's gateway", []string{"", eastwest}, nil, "", nil},
		{"so it does when it has less", []string{"", eastwest}, []string{"profile=minimal"}, "", []string{"istio-ingressgateway"}},
		{"the gateway leaves the control plane", []string{"", eastwest}, nil, eastwest, nil},
		{"the gateway prunes its own", []string{"", eastwest}, nil, "metadata: {name: eastwest}\nspec: {profile: empty}", []string{"istio-eastwestgateway"}},
		{"a gateway without a name leaves all others without", []string{""}, nil, namelessGateway, nil},
		{"another revision leaves the first", []string{""}, []string{"revision=canary", "profile=minimal"}, "", nil},
		{"another namespace leaves the first", []string{""}, []string{"namespace=mesh2", "profile=minimal"}, "", nil},
		{"the control plane leaves a gateway without a name", []string{"", namelessGateway}, nil, "", nil},
		{"two gateways without a name leave each other", []string{namelessGateway}, nil, strings.ReplaceAll(namelessGateway, "extra", "more"), nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var before []install.Plan
			for _, doc := range c.before {
				before = append(before, resolve(t, nil, doc))
			}
			now := resolve(t, c.set, c.now)
			stale := install.Stale(now, render(t, now), inCluster(t, before...))
			if diff := cmp.Diff(c.want, deployments(stale)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			for _, ref := range stale {
				if ref.Kind == "CustomResourceDefinition" {
					t.Errorf("%s would be pruned, and all its objects with it", ref)
				}
			}
		})
	}
}

func TestObjectsThatDoNotNameTheirControlPlaneCountForTheirNamespace(t *testing.T) {
	t.Parallel()
	found := inCluster(t, resolve(t, nil), resolve(t, []string{"namespace=mesh2"}))
	for _, f := range found {
		delete(f.Labels, "install.operator.istio.io/owning-resource-namespace")
	}
	now := resolve(t, []string{"profile=minimal"})
	stale := install.Stale(now, render(t, now), found)
	for _, ref := range stale {
		if ref.Namespace != "istio-system" {
			t.Errorf("%s of another control plane would be pruned", ref)
		}
	}
	if diff := cmp.Diff([]string{"istio-ingressgateway"}, deployments(stale)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestAGatewayWithoutANameIsUninstalledByItsFile(t *testing.T) {
	t.Parallel()
	plan := resolve(t, nil, namelessGateway)
	parts, found := render(t, plan), inCluster(t, resolve(t, nil), plan)
	for _, state := range []string{"as installed now", "as builds before labelled it"} {
		if diff := cmp.Diff([]string{"extra"}, deployments(install.Installed(plan, parts, found))); diff != "" {
			t.Errorf("%s: -want +got\n%s", state, diff)
		}
		for _, f := range found {
			delete(f.Labels, "install.operator.istio.io/owning-resource")
		}
	}
}

func TestUninstallLeavesWhatOthersShare(t *testing.T) {
	t.Parallel()
	base, gateway := resolve(t, nil), resolve(t, nil, eastwest)
	canary := resolve(t, []string{"revision=canary", "profile=minimal"})
	found := inCluster(t, base, gateway, canary)
	if diff := cmp.Diff([]string{"istio-eastwestgateway"}, deployments(install.Installed(gateway, render(t, gateway), found))); diff != "" {
		t.Errorf("by file: -want +got\n%s", diff)
	}
	byRevision := install.OfRevision("canary", found)
	if diff := cmp.Diff([]string{"istiod-canary"}, deployments(byRevision)); diff != "" {
		t.Errorf("by revision: -want +got\n%s", diff)
	}
	for _, ref := range byRevision {
		if ref.Name == "istio-reader-service-account" {
			t.Error("the reader account, which other clusters use, would go")
		}
	}
}
