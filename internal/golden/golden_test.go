package golden

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/internal/envoytest"
)

var update = flag.Bool("update", false, "rewrite what the scenarios want")

func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { run(t, file) })
	}
}

func run(t *testing.T, file string) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	scenario, err := Parse(archive)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range scenario.Snapshot.Problems {
		t.Errorf("problem: %s: %s", p.Object, p.Text)
	}
	resources, err := scenario.Resources()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, short := range slices.Sorted(maps.Keys(scenario.Want)) {
		got[short] = text(t, scenario, short, resources[short])
		if diff := cmp.Diff(scenario.Want[short], got[short]); diff != "" && !*update {
			t.Errorf("%s (-want +got):\n%s", short, diff)
		}
	}
	if *update {
		rewrite(t, file, archive, got)
	}
	bootstrap, err := Bootstrap(resources)
	if err != nil {
		t.Fatal(err)
	}
	envoytest.Validate(t, bootstrap)
}

func text(t *testing.T, scenario *Scenario, short string, messages []proto.Message) string {
	t.Helper()
	if short == "nds" {
		names, err := scenario.Names()
		if err != nil {
			t.Fatal(err)
		}
		out, err := yaml.Marshal(names)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	if short == "sds" {
		var err error
		if messages, err = WithWords(messages); err != nil {
			t.Fatal(err)
		}
	}
	out, err := YAML(messages)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func rewrite(t *testing.T, file string, archive *txtar.Archive, got map[string]string) {
	t.Helper()
	for i, f := range archive.Files {
		if name, ok := strings.CutPrefix(f.Name, "want/"); ok {
			archive.Files[i].Data = []byte(got[strings.TrimSuffix(name, ".yaml")])
		}
	}
	if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The check itself must be able to fail: an upstream that Envoy does not take.
func TestEnvoyRefusesWhatIsWrong(t *testing.T) {
	bad := map[string][]proto.Message{"cds": {&cluster.Cluster{
		Name: "bad", ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_ORIGINAL_DST}, LbPolicy: cluster.Cluster_RING_HASH,
	}}}
	bootstrap, err := Bootstrap(bad)
	if err != nil {
		t.Fatal(err)
	}
	if err := envoytest.Check(t, bootstrap); err == nil {
		t.Error("Envoy took a configuration that is wrong")
	}
}
