// Command gen copies the custom resource definitions of Istio's API from the istio.io/api module, in the version that go.mod
// names, into the base chart. `make build` and `make test` run it first; run it from anywhere inside the repository.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "charts/gen:", err)
		os.Exit(1)
	}
}

func run() error {
	if out, err := exec.Command("go", "mod", "download", "istio.io/api").CombinedOutput(); err != nil {
		return fmt.Errorf("download istio.io/api: %w: %s", err, out)
	}
	root, err := moduleDir("github.com/isthmus-mesh/isthmus")
	if err != nil {
		return err
	}
	api, err := moduleDir("istio.io/api")
	if err != nil {
		return err
	}
	crds, err := os.ReadFile(filepath.Join(api, "kubernetes", "customresourcedefinitions.gen.yaml"))
	if err != nil {
		return err
	}
	target := filepath.Join(root, "charts", "base", "files", "crd-all.gen.yaml")
	if old, err := os.ReadFile(target); err == nil && bytes.Equal(old, crds) {
		return nil // keeps the time stamp, so that nothing is built again for it
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	return os.WriteFile(target, crds, 0o644)
}

// moduleDir is where the go command keeps a module of the build.
func moduleDir(path string) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", path).Output()
	if err != nil {
		return "", fmt.Errorf("find module %s: %w", path, err)
	}
	return strings.TrimSpace(string(out)), nil
}
