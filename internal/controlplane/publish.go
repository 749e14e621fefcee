package controlplane

import (
	"context"
	"log/slog"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// publisher is the one goroutine that builds snapshots. While it builds, changes merge; when it is idle, a change is
// published at once.
type publisher struct {
	objects func() []*registry.Objects // of all clusters, the own one among them; nil before its first sync
	mesh    func() *model.Mesh
	publish func(*model.Snapshot)
	log     *slog.Logger

	wake chan struct{} // holds one value when something changed since the last build
}

func newPublisher(objects func() []*registry.Objects, mesh func() *model.Mesh, publish func(*model.Snapshot), log *slog.Logger) *publisher {
	return &publisher{objects: objects, mesh: mesh, publish: publish, log: log, wake: make(chan struct{}, 1)}
}

// changed asks for a build. It never blocks.
func (p *publisher) changed() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run builds until the context ends.
func (p *publisher) run(ctx context.Context) error {
	var last *model.Snapshot
	for {
		// What can happen: the process ends; something changed.
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		}
		objects := p.objects()
		if objects == nil {
			continue
		}
		next := registry.Build(last, objects, p.mesh())
		if next == last {
			continue
		}
		p.logProblems(last, next)
		last = next
		p.publish(next)
	}
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
