package controlplane

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync/atomic"

	"github.com/isthmus-mesh/isthmus/internal/clusters"
	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// publisher is the one goroutine that builds snapshots. While it builds, changes merge; when it is idle, a change is
// published at once.
type publisher struct {
	updates <-chan clusters.Update
	mesh    func() *model.Mesh
	publish func(*model.Snapshot)
	log     *slog.Logger

	settings chan struct{} // holds one value when the mesh's settings changed since the last build
	last     atomic.Pointer[model.Snapshot]
}

func newPublisher(updates <-chan clusters.Update, mesh func() *model.Mesh, publish func(*model.Snapshot), log *slog.Logger) *publisher {
	return &publisher{updates: updates, mesh: mesh, publish: publish, log: log, settings: make(chan struct{}, 1)}
}

// settingsChanged asks for a build. It never blocks.
func (p *publisher) settingsChanged() {
	select {
	case p.settings <- struct{}{}:
	default:
	}
}

// snapshot is what was published last; nil before the first.
func (p *publisher) snapshot() *model.Snapshot { return p.last.Load() }

// trouble is the problems in what was published last.
func (p *publisher) trouble() []model.Problem {
	if s := p.last.Load(); s != nil {
		return s.Problems
	}
	return nil
}

// run builds until the context ends.
func (p *publisher) run(ctx context.Context) error {
	var objects []*registry.Objects
	for {
		// What can happen: the process ends; objects of some cluster changed; the mesh's settings changed.
		select {
		case <-ctx.Done():
			return nil
		case update := <-p.updates:
			objects = update.Clusters
		case <-p.settings:
		}
		if objects == nil {
			continue // the own cluster has not been read yet
		}
		last := p.last.Load()
		next := p.build(last, objects)
		if next == last {
			continue
		}
		p.logProblems(last, next)
		p.last.Store(next)
		p.publish(next)
	}
}

// build makes the next snapshot. A panic over some object must not take the control plane away: the last snapshot stays.
func (p *publisher) build(last *model.Snapshot, objects []*registry.Objects) (next *model.Snapshot) {
	defer func() {
		if cause := recover(); cause != nil {
			p.log.Error("building a snapshot panicked, the last one stays", "cause", cause, "stack", string(debug.Stack()))
			next = last
		}
	}()
	return registry.Build(last, objects, p.mesh())
}

// logProblems writes those problems of the user's configuration that were not there before.
func (p *publisher) logProblems(last, next *model.Snapshot) {
	known := map[model.Problem]bool{}
	if last != nil {
		for _, problem := range last.Problems {
			known[problem] = true
		}
	}
	for _, problem := range next.Problems {
		if !known[problem] {
			p.log.Warn("configuration", "object", problem.Object.String(), "problem", problem.Text)
		}
	}
}
