package process_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/bench/process"
)

func start(t *testing.T, script string) *process.Process {
	t.Helper()
	p, err := process.Start(t.TempDir(), "script", "/bin/sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

func TestUsageIsThatOfTheProcess(t *testing.T) {
	t.Parallel()
	p := start(t, "while :; do :; done")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := p.Await(ctx, "it has used CPU time", func(context.Context) error {
		u, err := p.Usage()
		if err == nil && u.CPU < 50*time.Millisecond {
			err = errors.New("no CPU time yet")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if u, err := p.Usage(); err != nil || u.Resident < 100<<10 || u.Peak < u.Resident {
		t.Errorf("usage = %+v, %v", u, err)
	}
	if err := p.ForgetPeak(); err != nil {
		t.Error(err)
	}
}

func TestStopEndsWhatDoesNotListen(t *testing.T) {
	t.Parallel()
	p := start(t, "trap '' TERM; while :; do :; done")
	p.Stop()
	select {
	case <-p.Done():
	default:
		t.Error("it still runs")
	}
	p.Stop()
}

func TestAwaitTellsOfAnEarlyEnd(t *testing.T) {
	t.Parallel()
	p := start(t, "echo no such file >&2; exit 3")
	err := p.Await(t.Context(), "it is ready", func(context.Context) error { return errors.New("not ready") })
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("Await: %v, want what the program said", err)
	}
}
