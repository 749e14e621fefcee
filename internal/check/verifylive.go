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
	pods := &probePods{byCluster: map[*facts]string{}}
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
	byCluster map[*facts]string
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
			pod, verdict := awaitProbe(ctx, f)
			if verdict.State == OK {
				pods.mu.Lock()
				pods.byCluster[f] = pod
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
func (v *verification) requestChecks(pods map[*facts]string) []Check {
	var checks []Check
	for _, from := range v.all {
		for _, to := range v.all {
			j := join(from, to)
			says := func(name string, judge func(context.Context) Verdict) {
				checks = append(checks, Check{Name: name, From: from.name(), To: to.name(), Run: judge})
			}
			if pods[from] == "" || pods[to] == "" {
				says(request, func(context.Context) Verdict {
					return skipped("no probe in %s", strings.Join(without(pods, from, to), ", "))
				})
				continue
			}
			if from != to {
				says(knownEndpoints, j.knows)
			}
			says(request, func(ctx context.Context) Verdict {
				report, err := call(ctx, from.cluster, ProbeNamespace, pods[from], probeContainer, probeURL(to.name()), calls)
				if err != nil {
					return failed(from.kubectl("get pods -n %s", ProbeNamespace), "%s", oneLine(err.Error()))
				}
				return j.judgeRequest(report)
			})
		}
	}
	return checks
}

// without names the clusters that have no probe.
func without(pods map[*facts]string, pair ...*facts) []string {
	var names []string
	for _, f := range pair {
		if pods[f] == "" {
			names = append(names, f.name())
		}
	}
	return distinct(names)
}
