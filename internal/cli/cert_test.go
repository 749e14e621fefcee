package cli

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// runCert runs `isthmus cert ARGS` and returns what it printed.
func runCert(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := New("isthmus", Streams{In: strings.NewReader(""), Out: &out, Err: &out})
	root.SetArgs(append([]string{"cert"}, args...))
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// newCluster makes an intermediate with small keys, which are quick.
func newCluster(t *testing.T, dir, name string) string {
	t.Helper()
	out, err := runCert(t, "intermediate", name, "--dir", dir, "--key-size", "256", "--root-key-size", "256")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tree is every file under a directory with its content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestTwoClustersShareARootAndRepeatsChangeNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	newCluster(t, dir, "cluster1")
	newCluster(t, dir, "cluster2")
	before := tree(t, dir)
	want := []string{
		"cluster1/ca-cert.pem", "cluster1/ca-key.pem", "cluster1/cert-chain.pem", "cluster1/root-cert.pem",
		"cluster2/ca-cert.pem", "cluster2/ca-key.pem", "cluster2/cert-chain.pem", "cluster2/root-cert.pem",
		"root-cert.pem", "root-key.pem",
	}
	if got := slices.Sorted(maps.Keys(before)); !slices.Equal(got, want) {
		t.Errorf("files %v", got)
	}
	if before["cluster1/root-cert.pem"] != before["root-cert.pem"] || before["cluster2/root-cert.pem"] != before["root-cert.pem"] {
		t.Error("the roots are not the same bytes")
	}
	if before["cluster1/cert-chain.pem"] != before["cluster1/ca-cert.pem"]+before["root-cert.pem"] {
		t.Error("the chain is not certificate and root")
	}
	if out := newCluster(t, dir, "cluster1"); out != "done\n" || !maps.Equal(tree(t, dir), before) {
		t.Errorf("the second run changed something: %q", out)
	}
	for _, key := range []string{"root-key.pem", "cluster1/ca-key.pem"} {
		info, err := os.Stat(filepath.Join(dir, key))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", key, info.Mode(), err)
		}
	}
	if out, err := runCert(t, "verify-chain", filepath.Join(dir, "cluster1"), filepath.Join(dir, "cluster2")); err != nil {
		t.Errorf("%s%v", out, err)
	}
}

func TestWhatIsThereIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		harm func(dir string) error
		args []string
		want string
	}{
		{"intermediate lost its key", func(dir string) error { return os.Remove(filepath.Join(dir, "c/ca-key.pem")) }, []string{"intermediate", "c"}, "ca-key.pem: missing"},
		{"root lost its key", func(dir string) error { return os.Remove(filepath.Join(dir, "root-key.pem")) }, []string{"intermediate", "other"}, "root-key.pem: missing"},
		{"root lost its certificate", func(dir string) error { return os.Remove(filepath.Join(dir, "root-cert.pem")) }, []string{"root"}, "root-cert.pem: missing"},
		{"another root beside it", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "root-cert.pem"), []byte("x"), 0o600)
		}, []string{"intermediate", "c"}, "another root"},
	}
	for _, c := range cases {
		dir := t.TempDir()
		newCluster(t, dir, "c")
		if err := c.harm(dir); err != nil {
			t.Fatal(err)
		}
		before := tree(t, dir)
		_, err := runCert(t, append(c.args, "--dir", dir)...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if !maps.Equal(tree(t, dir), before) {
			t.Errorf("%s: files changed", c.name)
		}
	}
}

func TestNamesThatAreNoClusterAreRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"../x", "a/b", "", ".", "Upper"} {
		if _, err := runCert(t, "intermediate", name, "--dir", t.TempDir()); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

func TestVerifyChainTellsRootsApart(t *testing.T) {
	t.Parallel()
	a, b := t.TempDir(), t.TempDir()
	newCluster(t, a, "cluster1")
	newCluster(t, b, "cluster2")
	out, err := runCert(t, "verify-chain", filepath.Join(a, "cluster1"), filepath.Join(b, "cluster2"), "-o", "json")
	if err == nil {
		t.Error("two roots passed")
	}
	var checked []checkedChain
	if err := json.Unmarshal([]byte(out), &checked); err != nil {
		t.Fatal(err)
	}
	if len(checked) != 2 || !checked[0].OK || checked[1].OK || !strings.Contains(checked[1].Problems[0], "another root") {
		t.Errorf("%+v", checked)
	}
}

func TestWorkloadNamesItsServiceAccount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	newCluster(t, dir, "cluster1")
	args := []string{"workload", "sample", "--dir", dir, "--authority", "cluster1", "--service-account", "curl"}
	if _, err := runCert(t, args...); err != nil {
		t.Fatal(err)
	}
	files := tree(t, filepath.Join(dir, "sample"))
	chain, err := trust.ParseCertificates([]byte(files["workload-cert-chain.pem"]))
	if err != nil || len(chain) != 3 {
		t.Fatalf("%d certificates, %v", len(chain), err)
	}
	if chain[0].URIs[0].String() != "spiffe://cluster.local/ns/sample/sa/curl" || chain[0].Subject.String() != "CN=Workload,O=Istio,L=sample" {
		t.Errorf("%v %s", chain[0].URIs, chain[0].Subject)
	}
	intermediates := x509.NewCertPool()
	intermediates.AddCert(chain[1])
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: trust.NewBundle(chain[2]).Pool(), Intermediates: intermediates}); err != nil {
		t.Error(err)
	}
	if _, err := runCert(t, args...); err != nil || !maps.Equal(tree(t, filepath.Join(dir, "sample")), files) {
		t.Errorf("the second run changed something: %v", err)
	}
	out, err := runCert(t, "show", filepath.Join(dir, "sample", "workload-cert.pem"))
	if err != nil || !strings.Contains(out, "spiffe://cluster.local/ns/sample/sa/curl") {
		t.Errorf("%s%v", out, err)
	}
}
