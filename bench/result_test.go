package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/bench/sidecar"
	"github.com/isthmus-mesh/isthmus/bench/synthetic"
)

func TestSummaryCountsWhatIsMissing(t *testing.T) {
	t.Parallel()
	var took []time.Duration
	for i := 100; i > 0; i-- {
		took = append(took, time.Duration(i)*time.Millisecond)
	}
	if got, want := *summarize(took, 3), (Latency{Pairs: 103, Missing: 3, P50: 50, P99: 99, Max: 100}); got != want {
		t.Errorf("summary = %+v, want %+v", got, want)
	}
	if got, want := *summarize(nil, 2), (Latency{Pairs: 2, Missing: 2}); got != want {
		t.Errorf("summary of nothing = %+v, want %+v", got, want)
	}
}

func TestResultsAreComparedWithTheNewestOfTheirSizes(t *testing.T) {
	t.Parallel()
	result := func(day, services int, p50 float64) Result {
		return Result{
			Date: time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC), Sizes: synthetic.Sizes{Services: services, Proxies: 1},
			Scenarios: []Scenario{{Name: "idle"}, {Name: "storm", Latency: &Latency{P50: p50}, Traffic: sidecar.Traffic{Bytes: 1024}}},
		}
	}
	dir := t.TempDir()
	for _, kept := range []Result{result(2, 10, 4), result(1, 10, 9), result(3, 20, 1)} {
		if err := kept.save(settings{keep: true, results: dir}); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := readKept(dir)
	if err != nil || len(kept) != 3 {
		t.Fatalf("%d kept results, %v; want 3", len(kept), err)
	}
	now := result(4, 10, 5)
	last := lastOf(kept, now)
	if last == nil || last.Date.Day() != 2 {
		t.Fatalf("compares with %+v, want that of day 2", last)
	}
	var out bytes.Buffer
	now.print(&out)
	now.compare(&out, last)
	if want := "4.0 -> 5.0 (+25 %)"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in\n%s", want, out.String())
	}
	if lastOf(kept, result(4, 30, 0)) != nil {
		t.Error("a mesh of other sizes is compared")
	}
}
