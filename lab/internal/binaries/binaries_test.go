package binaries

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/modfile"

	"github.com/isthmus-mesh/isthmus/lab/internal/progress"
)

func TestVersionsAreThoseOfTheModules(t *testing.T) {
	t.Parallel()
	for _, r := range Recipes() {
		files := map[string][]byte{}
		for _, file := range r.sources() {
			files[file.Name] = file.Data
		}
		module, err := modfile.Parse("go.mod", files["go.mod"], nil)
		if err != nil {
			t.Errorf("%s: %v", r.Name, err)
			continue
		}
		if r.Module == "" {
			continue
		}
		required := ""
		for _, require := range module.Require {
			if require.Mod.Path == r.Module {
				required = require.Mod.Version
			}
		}
		if required != r.Version {
			t.Errorf("%s: the recipe says %s %s, its go.mod requires %q", r.Name, r.Module, r.Version, required)
		}
		if len(files["go.sum"]) == 0 {
			t.Errorf("%s: no go.sum, so nothing is checked against sums", r.Name)
		}
	}
}

func TestKeyChangesWithAnythingThatChangesTheResult(t *testing.T) {
	t.Parallel()
	const platform = "go1.26.8 linux amd64"
	r := Recipes()[0]
	keys := map[string]string{"the recipe": r.Key(platform)}
	add := func(what string, change func(*Recipe)) {
		changed := r
		change(&changed)
		keys[what] = changed.Key(platform)
	}
	add("another version", func(r *Recipe) { r.Version = "v1.36.4" })
	add("other tags", func(r *Recipe) { r.Tags = "x" })
	add("other flags", func(r *Recipe) { r.LDFlags = "" })
	add("without C", func(r *Recipe) { r.Cgo = false })
	add("other sources", func(r *Recipe) { r.Name = "etcd" })
	keys["another Go"] = r.Key("go1.27.0 linux amd64")
	seen := map[string]string{}
	for what, key := range keys {
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s have the same key %s", what, other, key)
		}
		seen[key] = what
	}
	if again := Recipes()[0].Key(platform); again != keys["the recipe"] {
		t.Errorf("the same recipe has the keys %s and %s", keys["the recipe"], again)
	}
}

// tiny is a recipe that builds in a second and depends on nothing.
func tiny() Recipe {
	for _, r := range Recipes() {
		if r.Name == "pause" {
			return r
		}
	}
	panic("no recipe of the name")
}

func TestTwoRunsBuildOnce(t *testing.T) {
	t.Parallel()
	cache := Cache{t.TempDir()}
	var output lockedBuffer
	var runs sync.WaitGroup
	for range 2 {
		runs.Go(func() {
			unlock, err := cache.lock(t.Context(), progress.New(io.Discard))
			if err != nil {
				t.Error(err)
				return
			}
			defer unlock()
			if err := cache.buildOne(t.Context(), tiny(), "here", progress.New(&output)); err != nil {
				t.Error(err)
			}
		})
	}
	runs.Wait()
	if got := strings.Count(output.String(), "build pause"); got != 1 {
		t.Errorf("built %d times:\n%s", got, output.String())
	}
	if last := cache.durations()["pause"]; last <= 0 {
		t.Errorf("the duration of the build was not remembered: %s", last)
	}
	bin, err := cache.link([]Recipe{tiny()}, "here")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(bin, "pause")); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("no program pause in %s: %v", bin, err)
	}
}

func TestAFailedBuildLeavesNothingInTheCache(t *testing.T) {
	t.Parallel()
	cache := Cache{t.TempDir()}
	broken := tiny()
	broken.Program = []Program{{"pause", "./nowhere"}}
	err := cache.buildOne(t.Context(), broken, "here", progress.New(io.Discard))
	if err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("got %v, want the compiler's words", err)
	}
	if entries, _ := os.ReadDir(cache.Dir); len(entries) != 0 {
		t.Errorf("left %v", entries)
	}
}

func TestWhatAKilledBuildLeftIsRemovedBeforeTheNextOne(t *testing.T) {
	t.Parallel()
	cache := Cache{t.TempDir()}
	var left []string
	for _, name := range []string{".build-kubernetes-1", ".bin-2"} {
		dir := filepath.Join(cache.Dir, name)
		if err := os.MkdirAll(filepath.Join(dir, "source"), 0o755); err != nil {
			t.Fatal(err)
		}
		left = append(left, dir)
	}
	full := errors.New("the disk is full")
	if _, err := cache.Build(t.Context(), func() error { return full }, progress.New(io.Discard)); !errors.Is(err, full) {
		t.Errorf("got %v, want that nothing was built", err)
	}
	for _, dir := range left {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s is still there", dir)
		}
	}
}

func TestAnInterruptedWaitForTheLockEnds(t *testing.T) {
	t.Parallel()
	cache := Cache{t.TempDir()}
	unlock, err := cache.lock(t.Context(), progress.New(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cache.lock(ctx, progress.New(io.Discard)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was canceled", err)
	}
}

func TestProgramsAreFoundByName(t *testing.T) {
	t.Parallel()
	if err := CheckProgram("kubectl"); err != nil {
		t.Error(err)
	}
	if err := CheckProgram("docker"); err == nil || !strings.Contains(err.Error(), "kube-apiserver") {
		t.Errorf("got %v, want an error that lists the programs", err)
	}
}

type lockedBuffer struct {
	mu     sync.Mutex // guards buffer
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(data []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(data)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
