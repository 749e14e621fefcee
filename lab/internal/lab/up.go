package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/isthmus-mesh/isthmus/lab/internal/cgroup"
	"github.com/isthmus-mesh/isthmus/lab/internal/config"
	"github.com/isthmus-mesh/isthmus/lab/internal/hostnet"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
	"github.com/isthmus-mesh/isthmus/lab/internal/progress"
)

// Up is a run of `lab up`.
type Up struct {
	Store   Store
	Request plan.Request
	Range   netip.Prefix // zero: the first of plan.Ranges that is free
	Bin     string       // the folder of programs
	Images  []string     // tarballs that every node gets
	Self    string       // the lab's own binary
	Timeout time.Duration
	Keep    bool   // leave what there is when something fails
	Command string // what users type, such as "isthmus lab"
	Say     *progress.Printer
}

// Run brings the lab up, or finds that it is up. It must be called with the lock held. When it fails, nothing is left but what Keep says.
func (u Up) Run(ctx context.Context) error {
	began := time.Now()
	hierarchies, err := cgroup.Hierarchies()
	if err != nil {
		return err
	}
	state, fresh, err := u.decide(ctx)
	if err != nil {
		return err
	}
	start := state.Plan.Clusters
	if !fresh {
		if start = u.ill(ctx, state, hierarchies); len(start) == 0 {
			u.Say.Say("lab %s is up already", u.Request.Name)
			return nil
		}
	}
	if err := u.bring(ctx, state, start, hierarchies); err != nil {
		// A lab that was complete has data that is not ours to throw away.
		u.Keep = u.Keep || state.Complete
		return u.failed(ctx, err)
	}
	u.Say.Say("lab %s is up after %s", u.Request.Name, progress.Round(time.Since(began)))
	return nil
}

// decide returns the state to bring up: the one there is, when it is complete and what was asked for, or a new one.
func (u Up) decide(ctx context.Context) (state State, fresh bool, err error) {
	name := u.Request.Name
	state, err = u.Store.Load(name)
	switch {
	case err == nil && state.Complete:
		if err := u.same(state.Plan); err != nil {
			return State{}, false, err
		}
		return state, false, nil
	case err == nil:
		u.Say.Say("lab %s was left half made; making it anew", name)
	case !errors.Is(err, ErrNoLab):
		return State{}, false, err
	}
	// Also without a state there may be traces of a lab of this name.
	if err := (Down{Store: u.Store, Say: u.Say}).Remove(ctx, name); err != nil {
		return State{}, false, err
	}
	routes, err := hostnet.Routes()
	if err != nil {
		return State{}, false, err
	}
	within, err := ChooseRange(u.Range, name, routes)
	if err != nil {
		return State{}, false, err
	}
	made, err := plan.New(u.Request, within)
	if err != nil {
		return State{}, false, err
	}
	return State{Plan: made, Made: time.Now(), Bin: u.Bin}, true, nil
}

// same returns an error if the lab that is there is not the one that was asked for.
func (u Up) same(there plan.Lab) error {
	nodes := len(there.Clusters[0].Nodes)
	if len(there.Clusters) == u.Request.Clusters && nodes == u.Request.Nodes && there.Networks == u.Request.Networks {
		return nil
	}
	return fmt.Errorf("lab %s is there with --clusters %d --nodes %d --networks %d; take it down first (`%s down --name %s`) or give this one another --name",
		there.Name, len(there.Clusters), nodes, there.Networks, u.Command, there.Name)
}

// ChooseRange finds addresses for the lab that no route of the host leads to: asked, unless it is zero.
func ChooseRange(asked netip.Prefix, lab string, routes []hostnet.Route) (netip.Prefix, error) {
	if asked.IsValid() {
		if by := hostnet.Taken(routes, asked, lab); by != "" {
			return netip.Prefix{}, fmt.Errorf("address range %s is taken by %s; choose another with --range, or leave it out", asked, by)
		}
		return asked, nil
	}
	var reasons []string
	for _, within := range plan.Ranges() {
		by := hostnet.Taken(routes, within, lab)
		if by == "" {
			return within, nil
		}
		reasons = append(reasons, fmt.Sprintf("%s is taken by %s", within, by))
	}
	return netip.Prefix{}, fmt.Errorf("no address range is free: %s; name one with --range, for example --range 10.200.0.0/16",
		strings.Join(reasons, "; "))
}

// recovery is how long a lab whose nodes all run may take to be ready by itself, for example after the machine was asleep.
const recovery = 20 * time.Second

// ill are the clusters that do not work, and are not about to.
func (u Up) ill(ctx context.Context, state State, hierarchies []cgroup.Hierarchy) []plan.Cluster {
	ctx, cancel := context.WithTimeout(ctx, recovery)
	defer cancel()
	var ill []plan.Cluster
	var reasons []string
	_ = poll(ctx, func() bool { // when it ends by time, what was found last is the answer
		report, err := Examine(ctx, u.Store, state)
		if err != nil {
			return false
		}
		ill, reasons = nil, nil
		for i, c := range report.Clusters {
			if !c.Ready {
				ill, reasons = append(ill, state.Plan.Clusters[i]), append(reasons, c.Reason)
			}
		}
		// Nothing comes of waiting for a node that does not run.
		return len(ill) == 0 || !running(ill, state.Plan.Name, hierarchies)
	})
	for i, c := range ill {
		u.Say.Say("%s of lab %s is not ready (%s); starting it again with its data", c.Name, state.Plan.Name, reasons[i])
	}
	return ill
}

// running tells whether all nodes of the clusters have their supervisors.
func running(clusters []plan.Cluster, lab string, hierarchies []cgroup.Hierarchy) bool {
	for _, c := range clusters {
		for _, n := range c.Nodes {
			if _, err := Supervisor(hierarchies, lab, n); err != nil {
				return false
			}
		}
	}
	return true
}

// bring makes what is not there of the lab, starts the clusters, and waits until they work.
func (u Up) bring(ctx context.Context, state State, clusters []plan.Cluster, hierarchies []cgroup.Hierarchy) error {
	ctx, cancel := context.WithTimeoutCause(ctx, u.Timeout, fmt.Errorf("not ready after %s; try a longer --timeout", u.Timeout))
	defer cancel()
	lab := state.Plan
	// What still runs of an ill cluster would hold its addresses and its data.
	for _, c := range clusters {
		for _, n := range c.Nodes {
			if err := stop(ctx, plan.NodeCgroup(lab.Name, n), hierarchies); err != nil {
				return err
			}
			// A kubelet spends seconds on each group of a pod that is no more.
			if err := removeGroups(ctx, hierarchies, plan.NodeCgroup(lab.Name, n)); err != nil {
				return err
			}
			if err := hostnet.Unplug(lab.Name, n); err != nil {
				return err
			}
		}
	}
	if err := u.Store.save(state); err != nil {
		return err
	}
	if err := prepareHost(u.Store); err != nil {
		return err
	}
	if err := hostnet.Make(lab); err != nil {
		return err
	}
	places := config.Places{Lab: u.Store.LabDir(lab.Name), Bin: u.Bin, Self: u.Self}
	if err := writeAccess(lab, places, u.Store.Kubeconfig(lab.Name)); err != nil {
		return err
	}
	if err := u.startAll(ctx, lab, clusters, places, hierarchies); err != nil {
		return err
	}
	state.Complete = true
	return u.Store.save(state)
}

// failed tidies up, and puts the failure in words.
func (u Up) failed(ctx context.Context, failure error) error {
	if cause := context.Cause(ctx); cause != nil {
		failure = cause
	}
	if u.Keep {
		return fmt.Errorf("%w (left as it is; logs are in %s)", failure, u.Store.LabDir(u.Request.Name))
	}
	u.Say.Say("taking down what was made")
	// The user's interrupt ended ctx, and shall not end the tidying.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := (Down{Store: u.Store, Say: u.Say}).Remove(ctx, u.Request.Name); err != nil {
		return errors.Join(failure, err)
	}
	return failure
}

// prepareHost makes the host's folders that nodes mount their own over, and remembers settings that a kubelet changes.
func prepareHost(store Store) error {
	if err := rememberHost(store); err != nil {
		return err
	}
	if err := raiseHost(); err != nil {
		return err
	}
	for _, dir := range []string{config.KubeletDir, config.ContainerdDir, config.ContainerdRunDir} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return fmt.Errorf("make mount point: %w", err)
		}
	}
	return nil
}
