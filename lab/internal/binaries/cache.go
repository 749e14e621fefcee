package binaries

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/isthmus-mesh/isthmus/lab/internal/progress"
)

// Cache is the folder that built programs and images are kept in. Results are moved into place whole, so what is there is complete.
type Cache struct {
	Dir string
}

// DefaultCache is the folder that ISTHMUS_CACHE names, or isthmus in the user's cache folder.
func DefaultCache() (Cache, error) {
	if dir := os.Getenv("ISTHMUS_CACHE"); dir != "" {
		return Cache{filepath.Join(dir, "lab")}, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return Cache{}, fmt.Errorf("find the cache folder: %w; set ISTHMUS_CACHE to a folder", err)
	}
	return Cache{filepath.Join(dir, "isthmus", "lab")}, nil
}

// Platform is the Go release that builds, and what for.
func Platform(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOOS", "GOARCH").Output()
	if err != nil {
		return "", fmt.Errorf("run `go env`: %w; install Go 1.26 or newer from https://go.dev/dl", err)
	}
	return strings.Join(strings.Fields(string(out)), " "), nil
}

// Build makes what is missing, and returns the folder in which all programs are found by their names. check is called before anything is
// built, and not when all is there.
func (c Cache) Build(ctx context.Context, check func() error, say *progress.Printer) (string, error) {
	platform, err := Platform(ctx)
	if err != nil {
		return "", err
	}
	recipes := Recipes()
	dir := c.set(recipes, platform)
	if complete(dir) {
		return dir, nil
	}
	unlock, err := c.lock(ctx, say)
	if err != nil {
		return "", err
	}
	defer unlock()
	if complete(dir) { // by the run that had the lock
		return dir, nil
	}
	if err := c.removeLeftovers(); err != nil {
		return "", err
	}
	if err := check(); err != nil {
		return "", err
	}
	for _, r := range recipes {
		if err := c.buildOne(ctx, r, platform, say); err != nil {
			return "", err
		}
	}
	return c.link(recipes, platform)
}

// set is the folder with links to all programs of the recipes. Its name changes with any of their keys.
func (c Cache) set(recipes []Recipe, platform string) string {
	all := Recipe{Name: "bin", Version: kubernetesVersion}
	for _, r := range recipes {
		all.Links = append(all.Links, r.Key(platform))
	}
	return filepath.Join(c.Dir, all.Key(platform))
}

func complete(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}

// buildOne builds the recipe unless it is there.
func (c Cache) buildOne(ctx context.Context, r Recipe, platform string, say *progress.Printer) error {
	target := filepath.Join(c.Dir, r.Key(platform))
	if complete(target) {
		return nil
	}
	durations := c.durations()
	start := time.Now()
	err := say.Step("build "+r.Name+" "+r.Version, durations[r.Name], func() error { return c.make(ctx, r, target) })
	if err != nil {
		return err
	}
	durations[r.Name] = time.Since(start)
	return c.remember(durations)
}

// removeLeftovers removes what builds were working in that were killed. It must be called with the lock held, so that none goes on.
func (c Cache) removeLeftovers() error {
	for _, prefix := range []string{buildPrefix, linkPrefix} {
		left, err := filepath.Glob(filepath.Join(c.Dir, prefix+"*"))
		if err != nil {
			return fmt.Errorf("look for leftovers in the cache: %w", err)
		}
		for _, dir := range left {
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("remove what is left of a build: %w", err)
			}
		}
	}
	return nil
}

// Names of the folders that are worked in begin so.
const (
	buildPrefix = ".build-"
	linkPrefix  = ".bin-"
)

// make builds the recipe in a folder beside target, and moves that to target.
func (c Cache) make(ctx context.Context, r Recipe, target string) error {
	work, err := os.MkdirTemp(c.Dir, buildPrefix+r.Name+"-")
	if err != nil {
		return fmt.Errorf("make a folder to build in: %w", err)
	}
	defer os.RemoveAll(work)
	source, result := filepath.Join(work, "source"), filepath.Join(work, "result")
	for _, dir := range []string{source, result} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("make a folder to build in: %w", err)
		}
	}
	for _, file := range r.sources() {
		if err := os.WriteFile(filepath.Join(source, file.Name), file.Data, 0o644); err != nil {
			return fmt.Errorf("write source of %s: %w", r.Name, err)
		}
	}
	for _, p := range r.Program {
		if err := goBuild(ctx, r, p, source, filepath.Join(result, p.Name)); err != nil {
			return err
		}
	}
	for _, link := range r.Links {
		if err := os.Symlink(r.Program[0].Name, filepath.Join(result, link)); err != nil {
			return fmt.Errorf("link %s: %w", link, err)
		}
	}
	if err := os.Rename(result, target); err != nil {
		return fmt.Errorf("move %s into the cache: %w", r.Name, err)
	}
	return nil
}

func goBuild(ctx context.Context, r Recipe, p Program, source, out string) error {
	cmd := exec.CommandContext(ctx, "go", r.arguments(p, out)...)
	cmd.Dir = source
	cgo := "CGO_ENABLED=0"
	if r.Cgo {
		cgo = "CGO_ENABLED=1"
	}
	cmd.Env = append(os.Environ(), cgo, "GOWORK=off", "GOFLAGS=")
	// An interrupt reaches the go command from the terminal as well; it ends its compilers before it ends itself.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	output, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("build %s %s: %w\n%s", p.Name, r.Version, err, lastLines(string(output), 15))
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// link makes the folder with links to all programs.
func (c Cache) link(recipes []Recipe, platform string) (string, error) {
	target := c.set(recipes, platform)
	work, err := os.MkdirTemp(c.Dir, linkPrefix)
	if err != nil {
		return "", fmt.Errorf("make the folder of programs: %w", err)
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil {
		return "", err
	}
	for _, r := range recipes {
		key := r.Key(platform)
		for _, name := range r.names() {
			if err := os.Symlink(filepath.Join("..", key, name), filepath.Join(work, name)); err != nil {
				return "", fmt.Errorf("link %s: %w", name, err)
			}
		}
	}
	if err := os.Rename(work, target); err != nil && !complete(target) {
		return "", fmt.Errorf("move the folder of programs into place: %w", err)
	}
	return target, nil
}

// names are all names by which the recipe's programs are called.
func (r Recipe) names() []string {
	var names []string
	for _, p := range r.Program {
		names = append(names, p.Name)
	}
	return append(names, r.Links...)
}

// lock waits until no other process builds into this cache. The lock ends with the process that holds it.
func (c Cache) lock(ctx context.Context, say *progress.Printer) (unlock func(), err error) {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(c.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the cache: %w", err)
	}
	told := false
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if err != syscall.EWOULDBLOCK {
			file.Close()
			return nil, fmt.Errorf("lock the cache: %w", err)
		}
		if !told {
			say.Say("  another run is building the binaries; waiting for it")
			told = true
		}
		select {
		case <-ctx.Done():
			file.Close()
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// durations are how long each recipe took on this machine the last time; empty when that is not known.
func (c Cache) durations() map[string]time.Duration {
	durations := map[string]time.Duration{}
	data, err := os.ReadFile(filepath.Join(c.Dir, "durations.json"))
	if err == nil && json.Unmarshal(data, &durations) != nil {
		return map[string]time.Duration{}
	}
	return durations
}

func (c Cache) remember(durations map[string]time.Duration) error {
	data, err := json.Marshal(durations)
	if err != nil {
		return fmt.Errorf("remember durations: %w", err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir, "durations.json"), data, 0o644); err != nil {
		return fmt.Errorf("remember durations: %w", err)
	}
	return nil
}

// CheckProgram returns an error that lists the programs there are unless one of them has the name.
func CheckProgram(name string) error {
	var names []string
	for _, r := range Recipes() {
		names = append(names, r.names()...)
	}
	if !slices.Contains(names, name) {
		return fmt.Errorf("no program %q; there are %s", name, strings.Join(names, ", "))
	}
	return nil
}
