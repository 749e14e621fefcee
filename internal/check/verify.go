package check

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Options say what Verify looks at.
type Options struct {
	// Contexts are the clusters to look at. Empty means all of Candidates that run a control plane.
	Contexts []string
	// Candidates are looked at when Contexts is empty; those without a control plane are left out, and the report says so.
	Candidates []string
	// Connect opens the cluster of a context.
	Connect func(context string) (Cluster, error)
	// Namespace is that of the control planes.
	Namespace string
	Sample    Sample
	// Timeout bounds the whole run, but for the removal of the probes, which has 15 s of its own. Zero means 2 minutes.
	Timeout time.Duration
	// Progress is told what is waited for; nil drops it.
	Progress func(string)
	// Try asks an API server with the kubeconfig of a remote Secret; nil means from this machine.
	Try func(ctx context.Context, kubeconfig []byte) (server string, err error)
}

func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Minute
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Try == nil {
		o.Try = try
	}
	return o
}

// Member is a cluster that was looked at.
type Member struct {
	Context string `json:"context"`
	Cluster string `json:"cluster"`
}

// LeftOut is a context that was not looked at.
type LeftOut struct {
	Context string `json:"context"`
	Reason  string `json:"reason"`
}

// Report is what a run of Verify found.
type Report struct {
	Clusters []Member  `json:"clusters"`
	LeftOut  []LeftOut `json:"leftOut,omitempty"`
	Checks   []Result  `json:"checks"`
}

// Count is the number of results in a state.
func (r Report) Count(s State) int {
	n := 0
	for _, result := range r.Checks {
		if result.State == s {
			n++
		}
	}
	return n
}

// verification is one run.
type verification struct {
	Options
	all    []*facts
	report Report
}

// Verify tries out the mesh: it reads every cluster, then sends requests between probes that it puts into all of them, and
// removes them again, also when ctx ends. What is wrong with the mesh is in the report; an error means that there is none.
func Verify(ctx context.Context, o Options) (Report, error) {
	o = o.withDefaults()
	bounded, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	v := &verification{Options: o}
	v.find(bounded)
	if len(v.all) == 0 {
		return v.report, fmt.Errorf("no cluster with a control plane in namespace %s", o.Namespace)
	}
	for _, f := range v.all {
		v.report.Clusters = append(v.report.Clusters, Member{Context: f.cluster.Context, Cluster: f.name()})
	}
	v.add(run(bounded, append(v.clusterChecks(), v.pairChecks()...), v.Progress))
	v.live(bounded)
	v.report.Checks = sorted(v.report.Checks)
	return v.report, ctx.Err()
}

func (v *verification) add(results []Result) { v.report.Checks = append(v.report.Checks, results...) }

// find reads the clusters, all at the same time.
func (v *verification) find(ctx context.Context) {
	contexts := v.Contexts
	if len(contexts) == 0 {
		contexts = v.Candidates
	}
	v.Progress("reading " + strings.Join(contexts, ", "))
	found := make([]*facts, len(contexts))
	var reading sync.WaitGroup
	for i, name := range contexts {
		reading.Go(func() {
			c, err := v.Connect(name)
			if err != nil {
				found[i] = &facts{cluster: Cluster{Context: name}, namespace: v.Namespace, unreachable: err}
				return
			}
			c.Context = name
			found[i] = gather(ctx, c, v.Namespace)
		})
	}
	reading.Wait()
	known := map[string]string{} // context by uid
	for _, f := range found {
		if reason := v.leaveOut(f, known[f.uid]); reason != "" {
			v.report.LeftOut = append(v.report.LeftOut, LeftOut{f.cluster.Context, reason})
			continue
		}
		if f.uid != "" {
			known[f.uid] = f.cluster.Context
		}
		v.all = append(v.all, f)
	}
}

// leaveOut says why a cluster is not looked at; empty when it is. Who names contexts wants to hear of each of them.
func (v *verification) leaveOut(f *facts, same string) string {
	switch {
	case same != "":
		return "it is the same cluster as context " + same
	case len(v.Contexts) > 0:
		return ""
	case f.unreachable != nil:
		return "the API server gives no answer: " + firstWords(f.unreachable.Error())
	case len(f.deployments) == 0:
		return "no istiod in namespace " + f.namespace
	}
	return ""
}

// clusterChecks are those about one cluster that need no probe.
func (v *verification) clusterChecks() []Check {
	var checks []Check
	for _, f := range v.all {
		says := func(name string, verdict Verdict) {
			checks = append(checks, Check{Name: name, From: f.name(), Run: func(context.Context) Verdict { return verdict }})
		}
		says(controlPlane, judgeControlPlane(f))
		if verdict, said := judgeNames(f, v.all); said {
			says(clusterName, verdict)
		}
		if f.unreachable != nil {
			continue
		}
		if verdict, said := judgeClock(f); said {
			says(clock, verdict)
		}
		for _, verdict := range judgeGateways(f, v.all) {
			says(gateway, verdict)
		}
	}
	return checks
}

// pairChecks are those about two clusters that need no probe.
func (v *verification) pairChecks() []Check {
	var checks []Check
	for i, from := range v.all {
		for k, to := range v.all {
			if i == k {
				continue
			}
			says := func(name string, judge func(context.Context) Verdict) {
				checks = append(checks, Check{Name: name, From: from.name(), To: to.name(), Run: judge})
			}
			if from.unreachable != nil || to.unreachable != nil {
				says(discovery, func(context.Context) Verdict { return skipped("a cluster of the pair cannot be asked") })
				continue
			}
			if i < k {
				says(sameRoot, func(context.Context) Verdict { return judgeRoots(from, to, time.Now()) })
				if verdict, said := judgeVersions(from, to); said {
					says(sameVersion, func(context.Context) Verdict { return verdict })
				}
			}
			j := join(from, to)
			says(remoteSecret, func(context.Context) Verdict { return j.judgeSecret() })
			says(credential, func(ctx context.Context) Verdict { return v.tryCredential(ctx, j) })
			says(discovery, j.awaitDiscovery)
		}
	}
	return checks
}

// tryCredential uses the Secret of a pair from this machine.
func (v *verification) tryCredential(ctx context.Context, j joining) Verdict {
	if j.secret == nil || j.problem != "" {
		return skipped("there is no credential to try")
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	server, err := v.Try(ctx, j.remote.Kubeconfig)
	through := false
	if err != nil {
		through = synced(j.look(ctx))
	}
	return j.judgeCredential(server, err, through)
}

// awaitDiscovery gives an istiod that is just reading a cluster some seconds.
func (j joining) awaitDiscovery(ctx context.Context) Verdict {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	all := j.look(ctx)
	if j.secret != nil {
		_ = wait.PollUntilContextCancel(ctx, poll, false, func(ctx context.Context) (bool, error) {
			if settled(all) {
				return true, nil
			}
			if again := j.look(ctx); ctx.Err() == nil {
				all = again
			}
			return settled(all), nil
		}) // what it came to is in all
	}
	return j.judgeDiscovery(all, time.Now())
}
