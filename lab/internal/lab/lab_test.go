package lab

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/lab/internal/config"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

func newPlan(t *testing.T, clusters int) plan.Lab {
	t.Helper()
	lab, err := plan.New(plan.Request{Name: "a", Clusters: clusters, Nodes: 1, Networks: 1}, netip.MustParsePrefix("10.80.0.0/16"))
	if err != nil {
		t.Fatal(err)
	}
	return lab
}

func TestStateIsKept(t *testing.T) {
	t.Parallel()
	store := Store{t.TempDir()}
	if _, err := store.Load("a"); !errors.Is(err, ErrNoLab) {
		t.Errorf("got %v, want that there is no lab", err)
	}
	if err := store.save(State{Plan: newPlan(t, 2), Complete: true, Made: time.Now(), Bin: "/bin"}); err != nil {
		t.Fatal(err)
	}
	state, err := store.Load("a")
	if err != nil || !state.Complete || state.Plan.Clusters[1].Pods != netip.MustParsePrefix("10.80.32.0/20") {
		t.Errorf("got %+v, %v", state, err)
	}
	// What is no lab's name is no lab's folder.
	if err := os.Mkdir(filepath.Join(store.Dir, "not-a-lab"), 0o755); err != nil {
		t.Fatal(err)
	}
	if names, err := store.Names(); err != nil || !slices.Equal(names, []string{"a"}) {
		t.Errorf("got %v, %v; want a", names, err)
	}
}

func TestUpOfAnotherSizeIsRefusedWithTheFix(t *testing.T) {
	t.Parallel()
	up := Up{Request: plan.Request{Name: "a", Clusters: 3, Nodes: 1, Networks: 1}, Command: "isthmus lab"}
	err := up.same(newPlan(t, 2))
	if err == nil || !strings.Contains(err.Error(), "--clusters 2") || !strings.Contains(err.Error(), "isthmus lab down --name a") {
		t.Errorf("got %v", err)
	}
	up.Request.Clusters = 2
	if err := up.same(newPlan(t, 2)); err != nil {
		t.Errorf("the same size: %v", err)
	}
}

func TestALabThatIsStartedAgainKeepsItsKeys(t *testing.T) {
	t.Parallel()
	store := Store{t.TempDir()}
	lab := newPlan(t, 1)
	if err := store.save(State{Plan: lab}); err != nil {
		t.Fatal(err)
	}
	places := config.Places{Lab: store.LabDir("a")}
	read := func() string {
		if err := writeAccess(lab, places, store.Kubeconfig("a")); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(places.PKIDir(lab.Clusters[0]), "ca.key"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if first, second := read(), read(); first != second {
		t.Error("the key of the cluster's authority changed")
	}
	info, err := os.Stat(filepath.Join(places.PKIDir(lab.Clusters[0]), "ca.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key may be read by others: %v, %v", info.Mode(), err)
	}
}

func TestSupervisorsAreKnownByTheKernelsWord(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, status string
		want         bool
	}{
		{"supervisor", "Name:\tisthmus-lab\nNSpid:\t812\t1\n", true},
		{"its component", "Name:\tetcd\nNSpid:\t815\t10\n", false},
		{"a process of the host", "Name:\tsh\nNSpid:\t816\n", false},
		{"the host's first", "Name:\tinit\nNSpid:\t1\n", false},
	}
	for _, c := range cases {
		if got := first(c.status); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestOnlyEmptyFoldersAreRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty, full := filepath.Join(dir, "isthmus", "lab"), filepath.Join(dir, "full")
	for _, d := range []string{empty, filepath.Join(full, "something")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := removeEmpty(empty, full, filepath.Join(dir, "never there")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(empty)); err == nil {
		t.Error("the empty folder, or the one that was made for it, is still there")
	}
	if _, err := os.Stat(filepath.Join(full, "something")); err != nil {
		t.Error("a folder with something in it was removed")
	}
}
