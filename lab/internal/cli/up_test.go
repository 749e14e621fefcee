package cli

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/lab/internal/cgroup"
	"github.com/isthmus-mesh/isthmus/lab/internal/host"
	"github.com/isthmus-mesh/isthmus/lab/internal/hostnet"
	"github.com/isthmus-mesh/isthmus/lab/internal/lab"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
	"github.com/isthmus-mesh/isthmus/lab/internal/progress"
)

// able is a machine that can carry a lab.
func able() host.Machine {
	return host.Machine{
		Lacks: func() []host.Need { return nil },
		Hierarchies: func() ([]cgroup.Hierarchy, error) {
			return []cgroup.Hierarchy{{Path: "/sys/fs/cgroup", V2: true, Controllers: []string{"cpu", "cpuset", "memory", "pids"}}}, nil
		},
		Routes: func() ([]hostnet.Route, error) { return nil, nil },
		Free:   func(string) (uint64, error) { return 100 << 30, nil },
	}
}

func routes(to ...string) func() ([]hostnet.Route, error) {
	var found []hostnet.Route
	for _, r := range to {
		found = append(found, hostnet.Route{To: netip.MustParsePrefix(r), Interface: "eth0"})
	}
	return func() ([]hostnet.Route, error) { return found, nil }
}

// upOn runs `up` on the machine, with a context that has ended: what passes all checks stops at the build.
func upOn(t *testing.T, machine host.Machine, within string) error {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	request := plan.Request{Name: "a", Clusters: 2, Nodes: 1, Networks: 1}
	return runUp(ctx, upFlags{request: request, within: within, timeout: time.Minute}, machine, progress.New(io.Discard))
}

// Not parallel: it changes the environment.
func TestAMachineThatCannotCarryALabIsToldWhyWithTheFix(t *testing.T) {
	t.Setenv("ISTHMUS_LAB_DIR", filepath.Join(t.TempDir(), "labs"))
	t.Setenv("ISTHMUS_LAB_COMMAND", "")
	cases := []struct {
		name   string
		change func(*host.Machine)
		within string
		want   []string
	}{
		{"not root", func(m *host.Machine) { m.UID = 1000 }, "", []string{"takes root", `sudo env "PATH=$PATH" `, os.Args[0]}},
		{
			"no controller", func(m *host.Machine) {
				m.Hierarchies = func() ([]cgroup.Hierarchy, error) {
					return []cgroup.Hierarchy{{Controllers: []string{"cpu", "pids"}}}, nil
				}
			},
			"",
			[]string{"controllers cpuset, memory are not available", "mount them", "cgroup_enable=cpuset,memory"},
		},
		{
			"a package is missing",
			func(m *host.Machine) { m.Lacks = func() []host.Need { return []host.Need{host.Needs()[0]} } },
			"",
			[]string{"the program nft", "to install: `"},
		},
		{
			"the range that was asked for is taken", func(m *host.Machine) { m.Routes = routes("10.90.3.0/24") },
			"10.90.0.0/16",
			[]string{"10.90.0.0/16 is taken by the route to 10.90.3.0/24 on interface eth0", "choose another with --range"},
		},
		{
			"all ranges are taken", func(m *host.Machine) { m.Routes = routes("10.0.0.0/8") },
			"",
			[]string{"no address range is free", "--range 10.200.0.0/16"},
		},
		{
			"disk full", func(m *host.Machine) { m.Free = func(string) (uint64, error) { return 1 << 30, nil } },
			"",
			[]string{"1024 MiB free, 2048 MiB are needed", "make room, or set ISTHMUS_LAB_DIR"},
		},
	}
	for _, c := range cases {
		machine := able()
		c.change(&machine)
		err := upOn(t, machine, c.within)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q in it", c.name, err, want)
			}
		}
	}
	if err := upOn(t, able(), "10.90.0.0/16"); !errors.Is(err, context.Canceled) {
		t.Errorf("a machine that can carry a lab: got %v, want that the build was interrupted", err)
	}
}

// Not parallel: it changes the environment.
func TestALabThatIsUpNeedsNeitherSpaceNorAddresses(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("ISTHMUS_LAB_DIR", dir)
	there := filepath.Join(dir, "a", "lab.json")
	if err := os.Mkdir(filepath.Dir(there), 0o755); err != nil {
		t.Fatal(err)
	}
	full := able()
	full.Free = func(string) (uint64, error) { return 0, nil }
	full.Routes = routes("10.0.0.0/8")
	for state, complete := range map[string]bool{`{"complete": true}`: true, `{"complete": false}`: false} {
		if err := os.WriteFile(there, []byte(state), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := checkMachine(full, lab.DefaultStore(), "a", netip.Prefix{}); (err == nil) != complete {
			t.Errorf("%s: got %v", state, err)
		}
	}
}

func TestTheCommandForRootIsOneThatWorks(t *testing.T) {
	t.Parallel()
	got := sudo("/src/bin/isthmus-lab", []string{"exec", "--", "echo", "it's"}, []string{"HOME=/home/a", "ISTHMUS_CACHE=/big disk/cache"})
	if want := `sudo env "PATH=$PATH" 'ISTHMUS_CACHE=/big disk/cache' /src/bin/isthmus-lab exec -- echo 'it'\''s'`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
