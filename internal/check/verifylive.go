package check

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// live puts probes into the clusters, sends requests between them, and takes them away again.
func (v *verification) live(ctx context.Context) {
	var names []string
	for _, f := range v.all {
		names = append(names, f.name())
	}
	v.Progress("waiting for a probe with its sidecar in " + strings.Join(names, ", "))
	defer v.remove(ctx)
	pods := &probePods{byCluster: map[*facts]placed{}}
	v.add(run(ctx, v.probeChecks(names, pods), v.Progress))
	if ctx.Err() != nil {
		return
	}
	v.Progress("sending requests in every direction")
	checks := v.requestChecks(pods.byCluster)
	var reachable []*facts
	for _, f := range v.all {
		if f.unreachable == nil {
			reachable = append(reachable, f)
		}
	}
	v.add(run(ctx, append(checks, sampleChecks(ctx, reachable, pods.byCluster, v.Sample)...), v.Progress))
	v.lookAgain(ctx)
}

// lookAgain asks control planes once more about clusters that requests did not get to: a link that was cut a moment ago shows
// there only after some seconds.
func (v *verification) lookAgain(ctx context.Context) {
	var again []Check
	for _, from := range v.all {
		for _, to := range v.all {
			j := join(from, to)
			if from != to && j.secret != nil && v.state(request, from, to) == Failed && v.state(discovery, from, to) == OK {
				again = append(again, Check{discovery, from.name(), to.name(), j.awaitDiscovery})
			}
		}
	}
	for _, now := range run(ctx, again, v.Progress) {
		for i, r := range v.report.Checks {
			if r.Check == now.Check && r.From == now.From && r.To == now.To {
				v.report.Checks[i] = now
			}
		}
	}
}

// state is what a check of a pair has come to.
func (v *verification) state(name string, from, to *facts) State {
	for _, r := range v.report.Checks {
		if r.Check == name && r.From == from.name() && r.To == to.name() {
			return r.State
		}
	}
	return ""
}

// remove takes the probes away, also when ctx has ended.
func (v *verification) remove(ctx context.Context) {
	v.Progress("removing the probes")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	var removing sync.WaitGroup
	for _, f := range v.all {
		if f.unreachable != nil {
			continue
		}
		removing.Go(func() {
			if err := removeProbe(ctx, f); err != nil {
				v.Progress(fmt.Sprintf("%v; remove it with: %s", err, f.kubectl("delete namespace %s", ProbeNamespace)))
			}
		})
	}
	removing.Wait()
}

// probePods are the ready probes.
type probePods struct {
	mu        sync.Mutex // guards byCluster while checks run
	byCluster map[*facts]placed
}

// probeChecks deploy a probe into each cluster.
func (v *verification) probeChecks(names []string, pods *probePods) []Check {
	var checks []Check
	for _, f := range v.all {
		checks = append(checks, Check{Name: probePod, From: f.name(), Run: func(ctx context.Context) Verdict {
			if f.unreachable != nil || !f.own {
				return skipped("there is no control plane that would inject a sidecar")
			}
			if judgeControlPlane(f).State == Failed {
				return skipped("the control plane does not work, so no sidecar would be injected")
			}
			ctx, cancel := context.WithTimeout(ctx, max(v.Timeout/2, time.Second))
			defer cancel()
			if err := deploy(ctx, f, distinct(names)); err != nil {
				return judgeDeploy(f, err)
			}
			at, verdict := awaitProbe(ctx, f)
			if verdict.State == OK {
				pods.mu.Lock()
				pods.byCluster[f] = at
				pods.mu.Unlock()
			}
			return verdict
		}})
	}
	return checks
}

// distinct leaves out names that were there before.
func distinct(names []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, name := range names {
		if !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	return out
}

// requestChecks call each probe from each other, and from its own cluster, which tells the pair's trouble from the cluster's.
func (v *verification) requestChecks(pods map[*facts]placed) []Check {
	var checks []Check
	for _, from := range v.all {
		for _, to := range v.all {
			j := join(from, to)
			says := func(name string, judge func(context.Context) Verdict) {
				checks = append(checks, Check{Name: name, From: from.name(), To: to.name(), Run: judge})
			}
			if pods[from].pod == "" || pods[to].pod == "" {
				says(request, func(context.Context) Verdict {
					return skipped("no probe in %s", strings.Join(without(pods, from, to), ", "))
				})
				continue
			}
			if from != to {
				says(knownEndpoints, j.knows)
			}
			says(request, func(ctx context.Context) Verdict { return j.send(ctx, pods[from], pods[to]) })
		}
	}
	return checks
}

// without names the clusters that have no probe.
func without(pods map[*facts]placed, pair ...*facts) []string {
	var names []string
	for _, f := range pair {
		if pods[f].pod == "" {
			names = append(names, f.name())
		}
	}
	return distinct(names)
}
