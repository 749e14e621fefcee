package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/isthmus-mesh/isthmus/bench/sidecar"
	"github.com/isthmus-mesh/isthmus/bench/synthetic"
)

// settle bounds how long a scenario waits for what it expects.
const settle = 60 * time.Second

// scenarios are what is measured once istiod is ready, in this order.
func (b *bench) scenarios() []func(context.Context) error {
	all := []func(context.Context) error{b.connect, b.idle}
	for cluster := range b.sizes.Clusters {
		for _, rate := range b.rates {
			all = append(all, func(ctx context.Context) error { return b.endpoints(ctx, cluster, rate) })
		}
	}
	return append(all, b.addAndRemoveServices, b.reconnect)
}

// coldStart notes how long istiod took until it was ready, and what it used for that.
func (b *bench) coldStart(took time.Duration) error {
	usage, err := b.istiod.Usage()
	if err != nil {
		return err
	}
	s := Scenario{
		Name: "cold start to ready", Seconds: took.Seconds(), CPUSeconds: usage.CPU.Seconds(),
		ResidentMiB: mib(usage.Resident), PeakMiB: mib(usage.Peak),
	}
	b.result.Scenarios = append(b.result.Scenarios, s)
	say("%s: %s", s.Name, s.words())
	return nil
}

// connect is a storm: all sidecars at once, none of which knows anything.
func (b *bench) connect(ctx context.Context) error {
	return b.measure(ctx, "connect storm", func(ctx context.Context, s *Scenario) error { return b.connectAll(ctx, s) })
}

// reconnect is the same with sidecars that have everything and say so.
func (b *bench) reconnect(ctx context.Context) error {
	b.fleet.Disconnect()
	return b.measure(ctx, "reconnect storm", func(ctx context.Context, s *Scenario) error { return b.connectAll(ctx, s) })
}

func (b *bench) connectAll(ctx context.Context, s *Scenario) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	took, err := b.fleet.Connect(ctx)
	if err != nil {
		return err
	}
	s.Latency = summarize(took, 0)
	return nil
}

func (b *bench) idle(ctx context.Context) error {
	return b.measure(ctx, "idle", func(ctx context.Context, _ *Scenario) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(b.length):
			return nil
		}
	})
}

// endpoints replaces one endpoint of a cluster at a time, each of another service. The pods that come are there already: the
// change is one write to one EndpointSlice.
func (b *bench) endpoints(ctx context.Context, cluster, rate int) error {
	n := rate * int(b.length/time.Second)
	come, leave, slots := make([]synthetic.Pod, n), make([]synthetic.Pod, n), make([]int, n)
	changes := make([]*sidecar.Change, n)
	for i := range n {
		service, slot := b.place(cluster)
		slots[i], leave[i] = slot, b.sizes.Pod(cluster+1, service, slot)
		come[i] = b.spare(cluster, b.sizes.Service(service))
		changes[i] = sidecar.NewChange(endpointSign(come[i]))
	}
	writer := b.writers[cluster]
	if err := writer.AddPods(ctx, come); err != nil {
		return fmt.Errorf("add pods: %w", err)
	}
	name := fmt.Sprintf("endpoint change %d/s", rate)
	if cluster > 0 {
		name = "remote " + name
	}
	err := b.measure(ctx, name, func(ctx context.Context, s *Scenario) error {
		return b.change(ctx, s, rate, changes, func(ctx context.Context, i int) error { return writer.Replace(ctx, slots[i], come[i]) })
	})
	if err != nil {
		return err
	}
	return b.forget(ctx, cluster, leave)
}

// forget deletes pods that were replaced, as a rollout would. One that went twice is gone already.
func (b *bench) forget(ctx context.Context, cluster int, pods []synthetic.Pod) error {
	if b.changed[cluster] > b.places() {
		return nil
	}
	if err := b.writers[cluster].RemovePods(ctx, pods); err != nil {
		return fmt.Errorf("remove pods: %w", err)
	}
	return nil
}

// places is how many endpoints can change before one changes twice. Those of pods with a sidecar do not.
func (b *bench) places() int { return b.sizes.Services * max(1, b.sizes.Endpoints-1) }

// place picks the endpoint that changes next: of one service after the other, so that no two changes merge into one by
// themselves.
func (b *bench) place(cluster int) (service, slot int) {
	n := b.changed[cluster] % b.places()
	b.changed[cluster]++
	return n % b.sizes.Services, b.sizes.Endpoints - 1 - n/b.sizes.Services
}

func (b *bench) spare(cluster int, s synthetic.Service) synthetic.Pod {
	b.spares[cluster]++
	return b.sizes.Spare(cluster+1, s, b.spares[cluster])
}

// addAndRemoveServices lets services come one a second, then go. A sidecar knows one when it has the upstream, its endpoints
// and a route to it.
func (b *bench) addAndRemoveServices(ctx context.Context) error {
	writer, services, pods := b.writers[0], make([]synthetic.Service, b.services), make([]synthetic.Pod, b.services)
	added, removed := make([]*sidecar.Change, b.services), make([]*sidecar.Change, b.services)
	for i := range services {
		services[i] = b.sizes.Extra(i)
		pods[i] = b.spare(0, services[i])
		added[i] = sidecar.NewChange(
			sidecar.Sign{Type: sidecar.Upstreams, Name: services[i].Upstream()},
			endpointSign(pods[i]),
			sidecar.Sign{Type: sidecar.Routes, Text: services[i].Hostname()},
		)
		removed[i] = sidecar.NewChange(sidecar.Sign{Type: sidecar.Upstreams, Name: services[i].Upstream(), Gone: true})
	}
	if err := writer.AddPods(ctx, pods); err != nil {
		return fmt.Errorf("add pods: %w", err)
	}
	err := b.measure(ctx, "service added 1/s", func(ctx context.Context, s *Scenario) error {
		return b.change(ctx, s, 1, added, func(ctx context.Context, i int) error { return writer.AddService(ctx, services[i], pods[i]) })
	})
	if err != nil {
		return err
	}
	return b.measure(ctx, "service removed 1/s", func(ctx context.Context, s *Scenario) error {
		return b.change(ctx, s, 1, removed, func(ctx context.Context, i int) error { return writer.RemoveService(ctx, services[i]) })
	})
}

// change makes changes at a rate a second, and waits until every sidecar has them all. The clock of each starts right before
// its write.
func (b *bench) change(ctx context.Context, s *Scenario, rate int, changes []*sidecar.Change, write func(context.Context, int) error) error {
	b.fleet.Expect(changes...)
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	group, writing := errgroup.WithContext(ctx)
	for i, c := range changes {
		select {
		case <-writing.Done():
			return errors.Join(group.Wait(), ctx.Err())
		case <-tick.C:
		}
		group.Go(func() error {
			c.Begin()
			return write(writing, i)
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("change the mesh: %w", err)
	}
	deadline := time.After(settle)
	for _, c := range changes {
		select {
		case <-c.Done():
		case <-deadline:
			deadline = closed // the rest is missing too if it is not there now
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var all []time.Duration
	missing := 0
	for _, c := range changes {
		took, lacking := c.Latencies()
		all, missing = append(all, took...), missing+lacking
	}
	s.Changes, s.Latency = len(changes), summarize(all, missing)
	return nil
}

// closed gives at once, always.
var closed = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()
