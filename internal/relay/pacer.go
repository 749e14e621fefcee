package relay

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Pauses between tries to reach the control plane.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 10 * time.Second
)

// pacer spreads tries to connect, over all streams of the relay: an Envoy that comes back at once after each refusal would
// otherwise make a storm of a misconfiguration. The zero value lets the first try through.
type pacer struct {
	mu    sync.Mutex    // guards the fields below
	pause time.Duration // after the last failure, before jitter; 0 after a success
	until time.Time     // no try before
}

// wait returns when the next try may be made, or with an error when ctx ends.
func (p *pacer) wait(ctx context.Context) error {
	p.mu.Lock()
	left := time.Until(p.until)
	p.mu.Unlock()
	if left <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failed doubles the pause and returns what is left of it, which is jittered down to a half.
func (p *pacer) failed() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pause = min(max(2*p.pause, firstPause), maxPause)
	pause := p.pause/2 + rand.N(p.pause/2)
	p.until = time.Now().Add(pause)
	return pause.Round(time.Millisecond)
}

// worked forgets all failures.
func (p *pacer) worked() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pause, p.until = 0, time.Time{}
}
