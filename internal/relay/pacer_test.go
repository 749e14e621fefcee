package relay

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPausesGrowUntilOneWorks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p pacer
		took := func() time.Duration {
			start := time.Now()
			if err := p.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			return time.Since(start)
		}
		if d := took(); d != 0 {
			t.Errorf("first try waits %s", d)
		}
		for want := firstPause; want < 4*maxPause; want *= 2 {
			p.failed()
			limit := min(want, maxPause)
			if d := took(); d < limit/2 || d > limit {
				t.Errorf("waits %s, want between half of %s and it", d, limit)
			}
		}
		p.failed()
		p.worked()
		if d := took(); d != 0 {
			t.Errorf("waits %s after a success", d)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p pacer
		p.failed()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := p.wait(ctx); err == nil {
			t.Error("waited longer than its context")
		}
	})
}
