package agent

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/bootstrap"
)

// defaultDrain is how long Envoy drains when the ProxyConfig has no terminationDrainDuration.
const defaultDrain = 5 * time.Second

// drainer remembers when Envoy was told to drain, which happens once.
type drainer struct {
	mu    sync.Mutex // guards since
	since time.Time  // zero before
}

// drain tells Envoy that the pod ends. Listeners stay open, but clients are told to go elsewhere: the cluster takes some time to
// learn that this pod is gone, and what arrives meanwhile must not fail. A sidecar drains its inbound side only, since the
// application may still have calls to make. It returns when draining began.
func (a *agent) drain(ctx context.Context) time.Time {
	a.ready.drainer.mu.Lock()
	defer a.ready.drainer.mu.Unlock()
	d := &a.ready.drainer
	if !d.since.IsZero() {
		return d.since
	}
	d.since = time.Now()
	query := url.Values{"graceful": {""}, "skip_exit": {""}}
	if a.o.Kind == bootstrap.Sidecar {
		query.Set("inboundonly", "")
	}
	if err := adminPost(ctx, a.o.AdminPort, "/drain_listeners?"+query.Encode()); err != nil {
		a.o.Log.Warn("Envoy does not drain", "err", err)
	}
	return d.since
}

func (d *drainer) draining() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.since.IsZero()
}

// drainFor drains and waits until the time for it is over or Envoy has ended.
func (a *agent) drainFor(ctx context.Context, e *envoy) {
	period := defaultDrain
	if d := a.facts.Config.GetTerminationDrainDuration(); d != nil {
		period = d.AsDuration()
	}
	since := a.drain(ctx)
	a.o.Log.Info("draining", "for", period)
	timer := time.NewTimer(time.Until(since.Add(period)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-e.done:
	case <-ctx.Done():
	}
}

func (a *agent) serveDrain(w http.ResponseWriter, r *http.Request) {
	a.drain(r.Context())
	w.WriteHeader(http.StatusOK)
}

func (a *agent) serveQuit(w http.ResponseWriter, _ *http.Request) {
	select {
	case a.quit <- struct{}{}:
	default: // asked already
	}
	w.WriteHeader(http.StatusOK)
}
