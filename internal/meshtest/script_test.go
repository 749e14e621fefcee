package meshtest

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/tools/txtar"
)

// play runs a script in a bubble of its own.
func play(t *testing.T, archive *txtar.Archive) (err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := newMesh(ctx)
		err = run(m, archive)
		cancel()
		if stopping := m.stop(); stopping != nil {
			t.Error(stopping)
		}
	})
	return err
}

func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := play(t, archive); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		})
	}
}

// The scripts are worth nothing if they cannot fail.
func TestScriptsFail(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile("testdata/join.txtar")
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct{ name, script, want string }{
		{"wrong endpoints", "apply cluster1 namespaces.yaml\napply cluster1 one.yaml\nistiod cluster1\nsidecar web cluster1 shop\nendpoints web cart.shop:80 == 10.1.0.2", "line 5: endpoints web cart.shop:80 == 10.1.0.2: got 10.1.0.1"},
		{"wrong count", "istiod cluster1\nsidecar web cluster1 shop\napply cluster1 namespaces.yaml\nsent web == eds:1", "got none"},
		{"wrong state", "istiod cluster1\njoin cluster1 cluster2\nstate cluster1 cluster2 == stale", "got"},
		{"no such command", "endpoint web cart.shop:80 == none", "no such command"},
		{"no such file", "apply cluster1 nothing.yaml", "no file nothing.yaml"},
		{"nothing", "# only words", "says nothing"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := play(t, &txtar.Archive{Comment: []byte(c.script), Files: archive.Files})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}
