package isthmus

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/guide"
)

// notRun are the pages for users whose commands no test runs on clusters, each with the reason.
var notRun = map[string]string{
	"README.md": "make demo runs a page that is run on clusters, see TestTheReadmesCommandsAreTheDemo",
}

// shellBlock opens a block of commands. The guide runner takes those of bash and console.
var shellBlock = regexp.MustCompile("(?m)^ *```(sh|shell|zsh|bash|console)\\b")

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// runOnClusters are the pages that a test of e2e names, all parts of the path as a string of their own.
func runOnClusters(t *testing.T) func(page string) bool {
	t.Helper()
	files, err := filepath.Glob("e2e/*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in e2e: %v", err)
	}
	var sources strings.Builder
	for _, file := range files {
		sources.WriteString(read(t, file))
	}
	return func(page string) bool {
		return strings.Contains(sources.String(), `"`+strings.ReplaceAll(page, "/", `", "`)+`"`)
	}
}

// pageFault says what is wrong with a page's commands, or "".
func pageFault(page, text string, isRun func(page string) bool) string {
	for _, block := range shellBlock.FindAllStringSubmatch(text, -1) {
		if kind := block[1]; kind != "bash" && kind != "console" {
			return "has commands in a block of " + kind + ", which no test takes: say bash or console"
		}
	}
	commands, err := guide.Parse(text, guide.FormOf(page, text))
	switch {
	case err != nil:
		return err.Error()
	case len(commands) > 0 && !isRun(page) && notRun[page] == "":
		return "has commands that no test in e2e runs"
	case len(commands) == 0 && notRun[page] != "":
		return "has no commands: take it off the list of pages that are not run"
	}
	return ""
}

func TestEveryPagesCommandsAreRun(t *testing.T) {
	t.Parallel()
	pages := []string{"README.md"}
	err := filepath.WalkDir("docs", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			pages = append(pages, filepath.ToSlash(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	isRun := runOnClusters(t)
	for _, page := range pages {
		if fault := pageFault(page, read(t, page), isRun); fault != "" {
			t.Errorf("%s %s", page, fault)
		}
	}
	for page := range notRun {
		if !slices.Contains(pages, page) {
			t.Errorf("%s is on the list of pages that are not run, and is not there", page)
		}
	}
}

// The test above is worth nothing if it cannot fail.
func TestPageFaultsAreFound(t *testing.T) {
	t.Parallel()
	isRun := func(page string) bool { return page == "docs/run.md" }
	cases := []struct{ name, page, text, want string }{
		{"run", "docs/run.md", "```console\n$ make build\n```\n", ""},
		{"no commands", "docs/other.md", "```yaml\na: 1\n```\n", ""},
		{"not run", "docs/other.md", "```console\n$ make build\n```\n", "has commands that no test in e2e runs"},
		{"a block in a list", "docs/other.md", "1. do\n\n   ```bash\n   make\n   ```\n", "has commands that no test in e2e runs"},
		{"a block that is not taken", "docs/run.md", "```sh\nmake\n```\n", "has commands in a block of sh, which no test takes: say bash or console"},
		{"on the list for nothing", "README.md", "words\n", "has no commands: take it off the list of pages that are not run"},
	}
	for _, c := range cases {
		if got := pageFault(c.page, c.text, isRun); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// The demo's page is run on clusters, and tools/demo.sh in its own tests.
func TestTheReadmesCommandsAreTheDemo(t *testing.T) {
	t.Parallel()
	commands, err := guide.Load("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, c := range commands {
		texts = append(texts, c.Text)
	}
	if diff := cmp.Diff([]string{"make demo", "bin/isthmus lab down --name demo"}, texts); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	if makefile := read(t, "Makefile"); !regexp.MustCompile(`(?m)^demo:.*\n\t.*tools/demo\.sh$`).MatchString(makefile) {
		t.Error("make demo does not run tools/demo.sh")
	}
	script := read(t, "tools/demo.sh")
	if !strings.Contains(script, "name=${DEMO_LAB:-demo}\n") {
		t.Error("the demo's lab is not called demo")
	}
	page := regexp.MustCompile(`(?m)go run \./tools/guide .* (\S+\.md)\)$`).FindStringSubmatch(script)
	if page == nil || !runOnClusters(t)(page[1]) {
		t.Errorf("the demo's page is one that no test runs on clusters: %q", page)
	}
}

func TestArchitectureNamesEveryPackageInItsLayer(t *testing.T) {
	t.Parallel()
	rows := map[layer]string{words: "words", pure: "pure", outside: "outside", assembly: "assembly", testsOnly: "tests only"}
	text := read(t, "ARCHITECTURE.md")
	for name, layer := range layers {
		short, internal := strings.CutPrefix(name, "internal/")
		if !internal || strings.Contains(short, "/") {
			continue
		}
		row := regexp.MustCompile(`(?m)^\| ` + rows[layer] + ` \|.*` + "`" + short + "`")
		if !row.MatchString(text) {
			t.Errorf("ARCHITECTURE.md does not name %s among the packages of the layer %q", short, rows[layer])
		}
	}
}
