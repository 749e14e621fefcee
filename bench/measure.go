package main

import (
	"context"
	"fmt"
	"time"

	"github.com/isthmus-mesh/isthmus/bench/sidecar"
)

// quiet is how long nothing may arrive before what came belongs to the past.
const quiet = time.Second

// measure notes what istiod uses and sends while something is done, and until it has fallen quiet.
func (b *bench) measure(ctx context.Context, name string, do func(context.Context, *Scenario) error) error {
	if err := b.fleet.Quiet(ctx, quiet); err != nil {
		return err
	}
	if err := b.istiod.ForgetPeak(); err != nil {
		return err
	}
	before, err := b.istiod.Usage()
	if err != nil {
		return err
	}
	sent, lost, begin := b.fleet.Traffic(), b.fleet.Lost(), time.Now()
	s := Scenario{Name: name}
	if err := do(ctx, &s); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.Seconds = time.Since(begin).Seconds()
	if err := b.fleet.Quiet(ctx, quiet); err != nil {
		return err
	}
	after, err := b.istiod.Usage()
	if err != nil {
		return err
	}
	s.CPUSeconds = (after.CPU - before.CPU).Seconds()
	s.ResidentMiB, s.PeakMiB = mib(after.Resident), mib(after.Peak)
	s.LostStreams = b.fleet.Lost() - lost
	if s.Changes > 0 {
		s.CPUMillisAChange = 1000 * s.CPUSeconds / float64(s.Changes)
	}
	b.count(&s, sent)
	b.result.Scenarios = append(b.result.Scenarios, s)
	say("%s: %s", name, s.words())
	return nil
}

// count notes what the sidecars got since a moment.
func (b *bench) count(s *Scenario, since sidecar.ByType) {
	s.BytesAProxy = map[string]int64{}
	for t, now := range b.fleet.Traffic() {
		d := now.Sub(since[t])
		s.Traffic = s.Traffic.Add(d)
		if d.Bytes > 0 {
			s.BytesAProxy[sidecar.Type(t).String()] = d.Bytes / int64(b.sizes.Proxies)
		}
	}
}

func mib(bytes int64) float64 { return float64(bytes>>10) / 1024 }
