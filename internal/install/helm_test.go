package install_test

import (
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	release "helm.sh/helm/v4/pkg/release/v1"

	"github.com/isthmus-mesh/isthmus/charts"
	"github.com/isthmus-mesh/isthmus/internal/install"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

// helmChart loads a chart as helm does.
func helmChart(t *testing.T, name string) *chart.Chart {
	t.Helper()
	files := withoutDefinitions(t)
	var buffered []*archive.BufferedFile
	err := fs.WalkDir(files, name, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, file)
		buffered = append(buffered, &archive.BufferedFile{Name: strings.TrimPrefix(file, name+"/"), Data: data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := loader.LoadFiles(buffered)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// helmTemplate is `helm template NAME charts/CHART -n istio-system` with values.
func helmTemplate(t *testing.T, name, chartName string, values map[string]any) map[string]string {
	t.Helper()
	cfg := action.NewConfiguration(action.ConfigurationSetLogger(slog.NewTextHandler(io.Discard, nil)))
	run := action.NewInstall(cfg)
	run.DryRunStrategy = action.DryRunClient
	run.ReleaseName, run.Namespace = name, "istio-system"
	released, err := run.RunWithContext(t.Context(), helmChart(t, chartName), values)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := install.Objects([]byte(released.(*release.Release).Manifest))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, o := range objects {
		o.SetLabels(nil)
		text, err := install.Manifest(objectList(o))
		if err != nil {
			t.Fatal(err)
		}
		out[o.GetKind()+"/"+o.GetName()] = string(text)
	}
	return out
}

// The same settings make the same objects by `isthmus install` and by `helm install`, but for the labels by which the
// installer finds its own.
func TestHelmMakesTheSameObjects(t *testing.T) {
	t.Parallel()
	global := map[string]any{
		"meshID": "mesh1", "network": "network1", "multiCluster": map[string]any{"clusterName": "cluster1"},
	}
	viaHelm := map[string]string{}
	for _, r := range []struct {
		name, chart string
		values      map[string]any
	}{
		{"istio-base", "base", map[string]any{"global": global}},
		{"istiod", "istiod", map[string]any{"global": global, "replicaCount": 2}},
		{"istio-ingressgateway", "gateway", map[string]any{
			"serviceAccount":  map[string]any{"name": "istio-ingressgateway-service-account"},
			"imagePullPolicy": "",
			"service": map[string]any{"ports": []any{
				map[string]any{"name": "status-port", "port": 15021, "targetPort": 15021, "protocol": "TCP"},
				map[string]any{"name": "http2", "port": 80, "targetPort": 8080, "protocol": "TCP"},
				map[string]any{"name": "https", "port": 443, "targetPort": 8443, "protocol": "TCP"},
			}},
		}},
	} {
		for name, text := range helmTemplate(t, r.name, r.chart, r.values) {
			viaHelm[name] = text
		}
	}
	ours := map[string]string{}
	plan := resolve(t, []string{
		"values.global.meshID=mesh1", "values.global.network=network1", "values.global.multiCluster.clusterName=cluster1",
		"components.pilot.k8s.replicaCount=2",
	})
	for name, o := range objectsOf(t, render(t, plan)) {
		o.SetLabels(nil)
		text, err := install.Manifest(objectList(o))
		if err != nil {
			t.Fatal(err)
		}
		ours[name] = string(text)
	}
	if diff := cmp.Diff(viaHelm, ours); diff != "" {
		t.Errorf("-helm +isthmus\n%s", diff)
	}
}

func TestChartsCarryTheVersionOfTheImages(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"base", "istiod", "gateway"} {
		if got := helmChart(t, name).AppVersion(); got != version.Version {
			t.Errorf("chart %s has appVersion %s, this is %s", name, got, version.Version)
		}
	}
	if !strings.Contains(string(mustRead(t, "istiod/values.yaml")), "hub: "+version.Hub+"\n") {
		t.Errorf("chart istiod has another hub than %s", version.Hub)
	}
}

func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	data, err := fs.ReadFile(charts.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
