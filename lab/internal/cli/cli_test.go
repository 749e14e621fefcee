package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/isthmus-mesh/isthmus/lab/internal/lab"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

func TestEveryCommandHasHelpWithExamples(t *testing.T) {
	t.Parallel()
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if !c.Hidden && (c.Short == "" || c.Long == "" || !strings.Contains(c.Example, "isthmus lab")) {
			t.Errorf("%s: wants a short and a long text, and examples", c.Name())
		}
		for _, below := range c.Commands() {
			visit(below)
		}
	}
	visit(newRoot())
}

// Not parallel: it changes the environment.
func TestHelpNamesTheCommandThatUsersType(t *testing.T) {
	t.Setenv("ISTHMUS_LAB_COMMAND", "bin/isthmus lab")
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetArgs([]string{"up", "--help"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"bin/isthmus lab up [flags]", "  bin/isthmus lab up --clusters 3"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// Not parallel: it changes the environment.
func TestALabThatIsNotThereIsNamedWithTheFix(t *testing.T) {
	t.Setenv("ISTHMUS_LAB_DIR", t.TempDir())
	t.Setenv("ISTHMUS_LAB_COMMAND", "")
	for _, args := range [][]string{{"status"}, {"kubeconfig"}, {"logs", "kubelet"}} {
		root := newRoot()
		root.SetArgs(append(args, "--name", "none"))
		err := root.Execute()
		if err == nil || !strings.Contains(err.Error(), "isthmus lab up --name none") {
			t.Errorf("%v: got %v", args, err)
		}
	}
}

func TestWrongInputIsRefusedBeforeAnythingIsDone(t *testing.T) {
	t.Parallel()
	cases := []struct {
		args []string
		want string
	}{
		{[]string{"up", "--name", "Not/a/name"}, "lower-case letters"},
		{[]string{"up", "--clusters", "0"}, "1 to 9"},
		{[]string{"up", "--networks", "3"}, "use 1 to 2"},
		{[]string{"up", "--range", "10.0.0.0/8"}, "/16"},
		{[]string{"up", "--range", "10.90.0.1/16"}, "/16"},
		{[]string{"up", "--range", "many"}, "/16"},
		{[]string{"up", "--timeout", "0s"}, "--timeout"},
		{[]string{"build", "--print-path", "docker"}, "kube-apiserver"},
		{[]string{"down", "--name", "a", "--all"}, "none of the others"},
		{[]string{"status", "-o", "yaml"}, "json"},
		{[]string{"logs", "dockerd"}, "kube-apiserver"},
		{[]string{"load-image"}, "at least 1"},
	}
	// Should a check be missing, nothing is built and no lab is touched.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range cases {
		root := newRoot()
		root.SetArgs(c.args)
		root.SetErr(&bytes.Buffer{})
		if err := root.ExecuteContext(ctx); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want an error with %q", c.args, err, c.want)
		}
	}
}

func TestUpWithoutFlagsTakesTheLabAsItIs(t *testing.T) {
	t.Parallel()
	there, err := plan.New(plan.Request{Name: "a", Clusters: 3, Nodes: 2, Networks: 3}, plan.Ranges()[0])
	if err != nil {
		t.Fatal(err)
	}
	asked := plan.Request{Name: "a", Clusters: 2, Nodes: 1, Networks: 1} // the defaults
	got := adopt(asked, there, func(flag string) bool { return flag == "nodes" })
	if want := (plan.Request{Name: "a", Clusters: 3, Nodes: 1, Networks: 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func kubeconfigFile(t *testing.T, file, name, server string) {
	t.Helper()
	config := api.NewConfig()
	config.Clusters[name] = &api.Cluster{Server: server}
	config.AuthInfos[name] = &api.AuthInfo{}
	config.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
}

func TestMergeKeepsWhatIsTheUsers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from, into := filepath.Join(dir, "lab"), filepath.Join(dir, "own")
	kubeconfigFile(t, from, "cluster1", "https://10.80.0.17:6443")
	kubeconfigFile(t, into, "work", "https://work.example")
	if _, err := mergeKubeconfig(from, into, false); err != nil {
		t.Fatal(err)
	}
	merged, err := clientcmd.LoadFromFile(into)
	if err != nil {
		t.Fatal(err)
	}
	if merged.CurrentContext != "work" || merged.Contexts["cluster1"] == nil || merged.Contexts["work"] == nil {
		t.Errorf("got %+v", merged)
	}

	kubeconfigFile(t, into, "cluster1", "https://elsewhere.example")
	before, _ := os.ReadFile(into)
	if _, err := mergeKubeconfig(from, into, false); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("a cluster of the same name elsewhere was replaced: %v", err)
	}
	if after, _ := os.ReadFile(into); !bytes.Equal(before, after) {
		t.Error("the refused merge changed the file")
	}
	if _, err := mergeKubeconfig(from, into, true); err != nil {
		t.Errorf("with force: %v", err)
	}
}

func TestStatusJSONHasTheNamesThatScriptsUse(t *testing.T) {
	t.Parallel()
	report := lab.Report{Name: "a", Clusters: []lab.ClusterReport{{Nodes: []lab.NodeReport{{}}}}}
	var out bytes.Buffer
	if err := printReport(&out, report, "json"); err != nil {
		t.Fatal(err)
	}
	names := []string{
		"name", "clusters", "network", "apiServer", "ready", "nodes", "address", "zone", "region", "podCIDR", "serviceCIDR",
		"loadBalancerRange", "kubeconfig", "memoryMiB",
	}
	for _, name := range names {
		if !strings.Contains(out.String(), `"`+name+`":`) {
			t.Errorf("no %s in\n%s", name, out.String())
		}
	}
}
