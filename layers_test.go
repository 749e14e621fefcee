// Package isthmus holds no code: it is where the tests of the whole repository's shape stand.
package isthmus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/isthmus-mesh/isthmus/"

// layer is how far up a package stands. A package imports from its own layer and from those below.
type layer int

const (
	unknown layer = iota
	words
	pure
	outside
	assembly
	commands
	testsOnly // beside the others: these import anything, and only tests and one another import them
)

// layers gives every package of the main module its layer; a folder's layer holds for the folders in it that have none of
// their own. A new package is added here, which is the moment to think about where it belongs.
var layers = map[string]layer{
	"api/label":        words,
	"api/operator":     words,
	"charts":           words, // embedded files
	"internal/model":   words,
	"internal/nds":     words,
	"internal/trust":   words,
	"internal/version": words,

	"internal/bootstrap":  pure,
	"internal/capture":    pure,
	"internal/certs":      pure,
	"internal/envoy":      pure,
	"internal/inject":     pure,
	"internal/install":    pure,
	"internal/meshconfig": pure,
	"internal/registry":   pure,
	"internal/translate":  pure,
	"internal/view":       pure,

	"internal/authn":        outside,
	"internal/ca":           outside,
	"internal/capture/nft":  outside,
	"internal/clusters":     outside,
	"internal/dns":          outside,
	"internal/images":       outside,
	"internal/kube":         outside,
	"internal/probe":        outside,
	"internal/relay":        outside,
	"internal/remotesecret": outside,
	"internal/sds":          outside,
	"internal/webhook":      outside,
	"internal/xds":          outside,

	"internal/agent":        assembly,
	"internal/check":        assembly,
	"internal/cli":          assembly,
	"internal/controlplane": assembly,
	"internal/guide":        assembly,

	"bench":      commands,
	"charts/gen": commands,
	"cmd":        commands,
	"samples":    commands,
	"tools":      commands,

	"internal/envoytest": testsOnly,
	"internal/golden":    testsOnly,
	"internal/meshtest":  testsOnly,
}

// impure are the imports that would give a package of words or of the pure layer a clock, a client, a log or a machine. A path
// that ends in a slash stands for all below it.
var impure = []string{
	"context", "log", "log/slog", "net/http", "os", "os/", "k8s.io/client-go/", "sigs.k8s.io/controller-runtime/",
}

// goPackage is what `go list` tells about a package.
type goPackage struct {
	ImportPath string
	Doc        string // first sentence of the package comment
	GoFiles    []string
	Imports    []string
}

// layerOf looks a package up, then the folders above it.
func layerOf(importPath string) layer {
	for name := strings.TrimPrefix(importPath, module); name != ""; {
		if l := layers[name]; l != unknown {
			return l
		}
		cut := strings.LastIndex(name, "/")
		if cut < 0 {
			break
		}
		name = name[:cut]
	}
	return unknown
}

// faults lists what is wrong with the packages' imports and comments.
func faults(packages []goPackage) []string {
	var all []string
	for _, p := range packages {
		if len(p.GoFiles) == 0 {
			continue // tests only
		}
		name := strings.TrimPrefix(p.ImportPath, module)
		if !strings.HasPrefix(p.Doc, "Package ") && !strings.HasPrefix(p.Doc, "Command ") {
			all = append(all, name+" has no package comment")
		}
		mine := layerOf(p.ImportPath)
		if mine == unknown {
			all = append(all, name+" has no layer: add it to layers")
			continue
		}
		for _, imported := range p.Imports {
			if fault := faultOf(mine, imported); fault != "" {
				all = append(all, name+" "+fault)
			}
		}
	}
	return all
}

// faultOf says what is wrong with a package of a layer importing another, or "".
func faultOf(mine layer, imported string) string {
	if other, ours := strings.CutPrefix(imported, module); ours {
		theirs := layerOf(imported)
		switch {
		case theirs == testsOnly && mine != testsOnly:
			return fmt.Sprintf("imports %s, which is for tests only", other)
		case theirs > mine:
			return fmt.Sprintf("imports %s, which is in a higher layer", other)
		}
		return ""
	}
	if mine != words && mine != pure {
		return ""
	}
	forbidden := slices.ContainsFunc(impure, func(rule string) bool {
		return imported == rule || (strings.HasSuffix(rule, "/") && strings.HasPrefix(imported, rule))
	})
	if forbidden {
		return fmt.Sprintf("imports %s, but words and the pure layer compute and do nothing else", imported)
	}
	return ""
}

func TestPackagesKeepToTheirLayers(t *testing.T) {
	t.Parallel()
	rememberSources(t)
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Doc,GoFiles,Imports", "./...")
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(output))); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 10 {
		t.Fatalf("go list found %d packages only", len(packages))
	}
	for _, fault := range faults(packages) {
		t.Error(fault)
	}
}

// rememberSources looks at every folder, so that `go test` knows when its cached result is out of date: it does not see what
// `go list` reads.
func rememberSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (path == ".git" || path == "bin" || path == "dist") {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The test above is worth nothing if it cannot fail.
func TestLayerFaultsAreFound(t *testing.T) {
	t.Parallel()
	pkg := func(name, doc string, imports ...string) goPackage {
		return goPackage{ImportPath: module + name, Doc: doc, GoFiles: []string{"a.go"}, Imports: imports}
	}
	cases := []struct {
		name string
		pkg  goPackage
		want []string
	}{
		{"down is fine", pkg("internal/xds", "Package xds.", module+"internal/model", "context", "k8s.io/client-go/rest"), nil},
		{"the same layer is fine", pkg("internal/translate", "Package translate.", module+"internal/view"), nil},
		{"a folder inside", pkg("cmd/agent", "Command agent.", module+"internal/agent"), nil},
		{"up", pkg("internal/view", "Package view.", module+"internal/xds"), []string{"internal/view imports internal/xds, which is in a higher layer"}},
		{
			"up from the outside", pkg("internal/kube", "Package kube.", module+"internal/cli"),
			[]string{"internal/kube imports internal/cli, which is in a higher layer"},
		},
		{"into a test package", pkg("internal/cli", "Package cli.", module+"internal/golden"), []string{"internal/cli imports internal/golden, which is for tests only"}},
		{"no comment", pkg("internal/model", ""), []string{"internal/model has no package comment"}},
		{"no layer", pkg("internal/util", "Package util."), []string{"internal/util has no layer: add it to layers"}},
		{
			"a clock and a client in the pure layer", pkg("internal/view", "Package view.", "os", "os/exec", "k8s.io/client-go/rest", "strings"),
			[]string{
				"internal/view imports os, but words and the pure layer compute and do nothing else",
				"internal/view imports os/exec, but words and the pure layer compute and do nothing else",
				"internal/view imports k8s.io/client-go/rest, but words and the pure layer compute and do nothing else",
			},
		},
		{"a log among words", pkg("internal/model", "Package model.", "log/slog"), []string{"internal/model imports log/slog, but words and the pure layer compute and do nothing else"}},
	}
	for _, c := range cases {
		if diff := cmp.Diff(c.want, faults([]goPackage{c.pkg})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}
