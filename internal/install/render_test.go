package install_test

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/isthmus-mesh/isthmus/charts"
	"github.com/isthmus-mesh/isthmus/internal/install"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// withoutDefinitions are the charts with one small definition in place of Istio's, which are not in version control.
func withoutDefinitions(t *testing.T) fs.FS {
	t.Helper()
	out := fstest.MapFS{}
	err := fs.WalkDir(charts.FS, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || name == charts.CRDFile {
			return err
		}
		data, err := fs.ReadFile(charts.FS, name)
		out[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	out[charts.CRDFile] = &fstest.MapFile{Data: []byte(`# a comment {{ that is no template }}
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: gateways.networking.istio.io
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  labels:
    app: istio-pilot
  name: sidecars.networking.istio.io
`)}
	return out
}

func objectsOf(t *testing.T, parts []install.Part) map[string]*unstructured.Unstructured {
	t.Helper()
	out := map[string]*unstructured.Unstructured{}
	for _, part := range parts {
		for _, o := range part.Objects {
			out[o.GetKind()+"/"+o.GetName()] = o
		}
	}
	return out
}

func render(t *testing.T, plan install.Plan) []install.Part {
	t.Helper()
	if len(plan.Problems) > 0 {
		t.Fatal(plan.Problems)
	}
	parts, err := install.Render(withoutDefinitions(t), plan)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

// Each golden case is a .txtar with the document in operator.yaml, what to show in `show` (kind/name a line), and the manifests
// in want.yaml. Labels that every object has are checked elsewhere and left out.
func TestGoldenManifests(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parts := map[string][]byte{}
			for _, f := range archive.Files {
				parts[f.Name] = f.Data
			}
			plan, err := install.Resolve(install.Input{
				Profiles: profiles(t), Files: []install.Source{{Name: "operator.yaml", Data: parts["operator.yaml"]}},
			})
			if err != nil {
				t.Fatal(err)
			}
			objects := objectsOf(t, render(t, plan))
			var shown []*unstructured.Unstructured
			for name := range strings.FieldsSeq(string(parts["show"])) {
				if objects[name] == nil {
					t.Fatalf("no object %s is rendered", name)
				}
				object := objects[name].DeepCopy()
				object.SetLabels(nil)
				shown = append(shown, object)
			}
			got, err := install.Manifest(shown)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				for i, f := range archive.Files {
					if f.Name == "want.yaml" {
						archive.Files[i].Data = got
					}
				}
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(parts["want.yaml"]), string(got)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestEveryObjectSaysWhoMadeIt(t *testing.T) {
	t.Parallel()
	plan := resolve(t, []string{"revision=canary"}, "metadata: {name: mine}")
	for name, o := range objectsOf(t, render(t, plan)) {
		want := map[string]string{
			"operator.istio.io/managed": "Reconcile", "operator.istio.io/version": "0.1.0", "istio.io/rev": "canary",
			"install.operator.istio.io/owning-resource": "mine", "install.operator.istio.io/owning-resource-namespace": "istio-system",
		}
		for key, value := range want {
			if o.GetLabels()[key] != value {
				t.Errorf("%s: label %s is %q, want %q", name, key, o.GetLabels()[key], value)
			}
		}
		if o.GetLabels()["operator.istio.io/component"] == "" {
			t.Errorf("%s has no component", name)
		}
	}
}

func TestTheDefaultProfileMakesWhatGuidesAndScriptsLookFor(t *testing.T) {
	t.Parallel()
	objects := objectsOf(t, render(t, resolve(t, nil)))
	for _, name := range []string{
		"CustomResourceDefinition/gateways.networking.istio.io", "CustomResourceDefinition/sidecars.networking.istio.io",
		"ServiceAccount/istio-reader-service-account", "ClusterRole/istio-reader-clusterrole-istio-system",
		"ClusterRoleBinding/istio-reader-clusterrole-istio-system", "ServiceAccount/istiod", "Deployment/istiod", "Service/istiod",
		"ClusterRole/istiod-clusterrole-istio-system", "Role/istiod", "ConfigMap/istio", "ConfigMap/istio-sidecar-injector",
		"MutatingWebhookConfiguration/istio-sidecar-injector", "Deployment/istio-ingressgateway", "Service/istio-ingressgateway",
		"ServiceAccount/istio-ingressgateway-service-account", "Role/istio-ingressgateway-sds",
	} {
		if objects[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range []string{"ValidatingWebhookConfiguration/istio-validator-istio-system", "HorizontalPodAutoscaler/istiod"} {
		if objects[name] != nil {
			t.Errorf("%s is there", name)
		}
	}
}

func TestARevisionIsInEveryNameThatWouldCollide(t *testing.T) {
	t.Parallel()
	first := objectsOf(t, render(t, resolve(t, []string{"profile=minimal"})))
	second := objectsOf(t, render(t, resolve(t, []string{"profile=minimal", "revision=canary"})))
	for name, o := range second {
		if first[name] != nil && o.GetLabels()["operator.istio.io/component"] == install.Pilot {
			t.Errorf("both revisions have %s", name)
		}
	}
}

func TestAGatewaysHubAndTagAreItsImage(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, doc, want string }{
		{"neither", "spec: {components: {ingressGateways: [{name: istio-ingressgateway}]}}", ""},
		{"a hub", "spec: {components: {ingressGateways: [{name: istio-ingressgateway, hub: mine}]}}", "mine/proxy:0.1.0"},
		{"a tag", "spec: {hub: ours, components: {ingressGateways: [{name: istio-ingressgateway, tag: '2'}]}}", "ours/proxy:2"},
		{"an annotation wins", "spec: {components: {ingressGateways: [{name: istio-ingressgateway, tag: '2', k8s: {podAnnotations: {sidecar.istio.io/proxyImage: a/b:c}}}]}}", "a/b:c"},
	}
	for _, c := range cases {
		d := objectsOf(t, render(t, resolve(t, nil, c.doc)))["Deployment/istio-ingressgateway"]
		got, _, _ := unstructured.NestedString(d.Object, "spec", "template", "metadata", "annotations", "sidecar.istio.io/proxyImage")
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestOverlaysChangeRenderedObjects(t *testing.T) {
	t.Parallel()
	plan := resolve(t, nil, `
spec:
  components:
    pilot:
      k8s:
        overlays:
        - kind: Deployment
          name: istiod
          patches:
          - {path: 'spec.template.spec.containers.[name:discovery].args.[-1]', value: --extra}
          - {path: 'spec.template.spec.containers.[name:discovery].args.[0]', value: run}
          - {path: spec.template.spec.securityContext.fsGroup}
          - {path: 'metadata.annotations.example\.com/a', value: b}
`)
	d := objectsOf(t, render(t, plan))["Deployment/istiod"]
	containers, _, _ := unstructured.NestedSlice(d.Object, "spec", "template", "spec", "containers")
	args := containers[0].(map[string]any)["args"].([]any)
	if args[0] != "run" || args[len(args)-1] != "--extra" {
		t.Errorf("args %v", args)
	}
	if _, found, _ := unstructured.NestedFieldNoCopy(d.Object, "spec", "template", "spec", "securityContext", "fsGroup"); found {
		t.Error("fsGroup was not removed")
	}
	if d.GetAnnotations()["example.com/a"] != "b" {
		t.Errorf("annotations %v", d.GetAnnotations())
	}
}

func TestAnOverlayThatFindsNothingIsAnError(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"Deployment/nobody/spec.a":                                       "overlay of Deployment nobody: no such object is rendered",
		"Deployment/istiod/spec.template.spec.containers.[name:x].image": "the list has no item [name:x]",
		"Deployment/istiod/spec.template.spec.containers.[7].image":      "[7] is not an item of a list of 1",
		"Deployment/istiod/spec.replicas.x":                              "x is below something that is not a map",
	} {
		parts := strings.SplitN(path, "/", 3)
		plan := resolve(t, nil, "spec: {components: {pilot: {k8s: {overlays: [{kind: "+parts[0]+", name: "+parts[1]+
			", patches: [{path: '"+parts[2]+"', value: 1}]}]}}}}")
		if _, err := install.Render(withoutDefinitions(t), plan); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", path, err, want)
		}
	}
}

func TestMissingDefinitionsAreAClearError(t *testing.T) {
	t.Parallel()
	files := withoutDefinitions(t).(fstest.MapFS)
	delete(files, charts.CRDFile)
	_, err := install.Render(files, resolve(t, nil))
	if err == nil || !strings.HasPrefix(err.Error(), "render istio-base: files/crd-all.gen.yaml is missing from the base chart: run `make build`") {
		t.Errorf("error %v", err)
	}
}

func TestRenderingTwiceGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	text := func() string {
		var all []*unstructured.Unstructured
		for _, part := range render(t, resolve(t, []string{"profile=demo"})) {
			all = append(all, part.Objects...)
		}
		out, err := install.Manifest(install.Sorted(all))
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if diff := cmp.Diff(text(), text()); diff != "" {
		t.Error(diff)
	}
}

func objectList(objects ...*unstructured.Unstructured) []*unstructured.Unstructured { return objects }
