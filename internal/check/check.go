// Package check holds the checks that the command line runs against a mesh of several clusters, as values: `isthmus verify`, and
// what remote-clusters and proxy-status read. It asks API servers and control planes, and for verify it puts short-lived probes
// into a namespace of their own. It never repairs anything: each failure carries a reason and the command that mends it.
package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// State is what a check came to.
type State string

// The states. Only Failed makes a run fail.
const (
	OK      State = "ok"
	Failed  State = "fail"
	Note    State = "note"    // works, and is worth knowing
	Skipped State = "skipped" // could not be tried
)

// Verdict is what a check found.
type Verdict struct {
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"` // why it is so; for ok, what was seen
	Fix    string `json:"fix,omitempty"`    // the command to type, or what to change
}

// Result is a verdict on one thing: a cluster, or a pair of them.
type Result struct {
	Check string `json:"check"`
	From  string `json:"from"`         // cluster
	To    string `json:"to,omitempty"` // cluster; empty when the check is about one
	Verdict
	Took time.Duration `json:"-"`
	// TookMillis is Took for JSON.
	TookMillis int64 `json:"tookMs"`
}

func ok(format string, args ...any) Verdict {
	return Verdict{State: OK, Reason: fmt.Sprintf(format, args...)}
}

func note(format string, args ...any) Verdict {
	return Verdict{State: Note, Reason: fmt.Sprintf(format, args...)}
}

func skipped(format string, args ...any) Verdict {
	return Verdict{State: Skipped, Reason: fmt.Sprintf(format, args...)}
}

func failed(fix, format string, args ...any) Verdict {
	return Verdict{State: Failed, Reason: fmt.Sprintf(format, args...), Fix: fix}
}

// The checks, in the order that a pair's rows have.
const (
	controlPlane   = "control plane"
	clusterName    = "cluster name"
	clock          = "clock"
	gateway        = "gateway"
	remoteSecret   = "remote Secret"
	credential     = "credential"
	discovery      = "discovery"
	sameRoot       = "same root"
	sameVersion    = "version"
	probePod       = "probe"
	knownEndpoints = "endpoints"
	request        = "mTLS request"
	sample         = "sample"
)

var order = []string{
	controlPlane, clusterName, clock, gateway, probePod, sample, sameRoot, sameVersion, remoteSecret, credential, discovery,
	knownEndpoints, request,
}

// Check is one check, ready to run.
type Check struct {
	Name, From, To string
	Run            func(context.Context) Verdict
}

// run runs checks at the same time. Progress may be nil.
func run(ctx context.Context, checks []Check, progress func(string)) []Result {
	results := make([]Result, len(checks))
	var running sync.WaitGroup
	for i, c := range checks {
		running.Go(func() {
			began := time.Now()
			results[i] = Result{Check: c.Name, From: c.From, To: c.To, Verdict: c.Run(ctx)}
			if results[i].State == Failed && errors.Is(ctx.Err(), context.Canceled) {
				results[i].Verdict = skipped("interrupted")
			}
			results[i].Took = time.Since(began)
			results[i].TookMillis = results[i].Took.Milliseconds()
			if progress != nil && results[i].State == Failed {
				progress(results[i].title() + ": " + results[i].Reason)
			}
		})
	}
	running.Wait()
	return results
}

// title names what a result is about.
func (r Result) title() string {
	if r.To == "" {
		return r.Check + " of " + r.From
	}
	return r.Check + " " + r.From + " -> " + r.To
}

// sorted puts what is about one cluster before what is about pairs, and each pair's rows together.
func sorted(results []Result) []Result {
	slices.SortStableFunc(results, func(a, b Result) int {
		return cmp.Or(
			cmp.Compare(min(len(a.To), 1), min(len(b.To), 1)),
			cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To),
			cmp.Compare(slices.Index(order, a.Check), slices.Index(order, b.Check)),
		)
	})
	return results
}
