package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/isthmus-mesh/isthmus/bench/process"
	"github.com/isthmus-mesh/isthmus/bench/sidecar"
	"github.com/isthmus-mesh/isthmus/bench/synthetic"
)

// Result is the outcome of one run, with all that is needed to judge it.
type Result struct {
	Date      time.Time       `json:"date"`
	Commit    string          `json:"commit"` // with a plus when files had been changed
	Machine   Machine         `json:"machine"`
	Sizes     synthetic.Sizes `json:"sizes"`
	Protocol  string          `json:"protocol"` // delta or state of the world
	Names     bool            `json:"names"`    // sidecars asked for the table of names
	Scenarios []Scenario      `json:"scenarios"`
}

// Machine is what a run ran on, and how busy that was with other things.
type Machine struct {
	Processor  string `json:"processor"`
	Cores      int    `json:"cores"`
	MemoryMiB  int64  `json:"memory_mib"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
	LoadBefore string `json:"load_before"` // averages over 1, 5 and 15 minutes
	LoadAfter  string `json:"load_after"`
}

// Scenario is what was measured while one thing happened. CPU and memory are those of istiod.
type Scenario struct {
	Name             string           `json:"name"`
	Seconds          float64          `json:"seconds"`
	CPUSeconds       float64          `json:"cpu_seconds"` // until it fell quiet
	ResidentMiB      float64          `json:"resident_mib"`
	PeakMiB          float64          `json:"peak_mib"` // of resident memory, during the scenario
	Changes          int              `json:"changes,omitempty"`
	CPUMillisAChange float64          `json:"cpu_ms_a_change,omitempty"`
	Latency          *Latency         `json:"latency_ms,omitempty"`
	Traffic          sidecar.Traffic  `json:"traffic"` // to all sidecars
	BytesAProxy      map[string]int64 `json:"bytes_a_proxy,omitempty"`
	LostStreams      int64            `json:"lost_streams,omitempty"`
}

// Latency sums up a sample in milliseconds: of every pair of a change and a sidecar, or of every sidecar in a storm.
type Latency struct {
	Pairs   int     `json:"pairs"`
	Missing int     `json:"missing"` // did not arrive
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	Max     float64 `json:"max"`
}

func summarize(took []time.Duration, missing int) *Latency {
	l := &Latency{Pairs: len(took) + missing, Missing: missing}
	if len(took) == 0 {
		return l
	}
	took = sorted(took)
	at := func(share float64) float64 {
		rank := max(1, int(math.Ceil(share*float64(len(took)))))
		return math.Round(took[rank-1].Seconds()*1e5) / 100
	}
	l.P50, l.P99, l.Max = at(0.50), at(0.99), at(1)
	return l
}

func newResult(ctx context.Context, s settings) Result {
	protocol := "delta"
	if s.world {
		protocol = "state of the world"
	}
	return Result{
		Date: time.Now().UTC().Truncate(time.Second), Commit: commit(ctx), Sizes: s.sizes, Protocol: protocol, Names: s.names,
		Machine: Machine{
			Processor: processor(), Cores: runtime.NumCPU(), MemoryMiB: process.MachineMemory() >> 20,
			Kernel: line("/proc/sys/kernel/osrelease"), Go: runtime.Version(), LoadBefore: load(),
		},
	}
}

func (r *Result) finish() { r.Machine.LoadAfter = load() }

// commit names what is measured.
func commit(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(out))
	if changed, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--", "cmd", "internal", "api").Output(); err != nil || len(changed) > 0 {
		name += "+"
	}
	return name
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for l := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func load() string {
	fields := strings.Fields(line("/proc/loadavg"))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

// line reads a file of one line; empty when it cannot be read.
func line(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// readKept reads the kept results, oldest first.
func readKept(dir string) ([]Result, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var kept []Result
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read kept results: %w", err)
		}
		var r Result
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("read kept result %s: %w", file, err)
		}
		kept = append(kept, r)
	}
	slices.SortFunc(kept, func(a, b Result) int { return cmp.Or(a.Date.Compare(b.Date), cmp.Compare(a.Commit, b.Commit)) })
	return kept, nil
}

// lastOf gives the newest kept result of the same sizes; nil when there is none.
func lastOf(kept []Result, r Result) *Result {
	for _, k := range slices.Backward(kept) {
		if k.Sizes == r.Sizes && k.Protocol == r.Protocol && k.Names == r.Names {
			return &k
		}
	}
	return nil
}

// save writes the result where the settings say.
func (r *Result) save(s settings) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	var paths []string
	if s.out != "" {
		paths = append(paths, s.out)
	}
	if s.keep {
		z := r.Sizes
		paths = append(paths, filepath.Join(s.results, fmt.Sprintf("%s-%dx%d-%d-proxies-%d-clusters.json",
			r.Date.Format("2006-01-02-150405"), z.Services, z.Endpoints, z.Proxies, z.Clusters)))
	}
	for _, path := range paths {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
		say("result in %s", path)
	}
	return nil
}
