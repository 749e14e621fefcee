package inject

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// cluster1 is the mesh of the golden files.
func cluster1() Inputs {
	return Inputs{ClusterID: "cluster1", Network: "network1", MeshID: "mesh1", Hub: "hub.example", Tag: "1.2.3", NativeSidecar: true}
}

func readPod(t *testing.T, file string) *corev1.Pod {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{}
	if err := yaml.UnmarshalStrict(b, pod); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return pod
}

// TestGoldenPods injects testdata/NAME.yaml and compares with testdata/NAME.want.yaml, or NAME.refused.txt where the
// pod must be refused. A file called *-classic.yaml is injected as if the nodes knew no native sidecars.
func TestGoldenPods(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden pods: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(file, ".yaml")
		if strings.HasSuffix(name, ".want") {
			continue
		}
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			in := cluster1()
			in.NativeSidecar = !strings.HasSuffix(name, "-classic")
			pod := readPod(t, file)
			before := pod.DeepCopy()
			got, problems := Inject(pod, in)
			if diff := cmp.Diff(before, pod); diff != "" {
				t.Fatalf("Inject changed its argument:\n%s", diff)
			}
			if len(problems) > 0 {
				compareGolden(t, name+".refused.txt", strings.ReplaceAll(Describe(problems), " | ", "\n")+"\n")
				return
			}
			b, err := yaml.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			compareGolden(t, name+".want.yaml", string(b))

			again, problems := Inject(got, in)
			if len(problems) > 0 {
				t.Fatalf("second injection: %s", Describe(problems))
			}
			if diff := cmp.Diff(got, again); diff != "" {
				t.Errorf("second injection differs (-first +second):\n%s", diff)
			}
		})
	}
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
