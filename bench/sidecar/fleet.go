package sidecar

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// Options are how the sidecars of a fleet behave.
type Options struct {
	Address    string // of discovery, without TLS
	WorldState bool   // the state-of-the-world protocol in place of delta
	Names      bool   // ask for the name table too, as an agent with DNS does
	Keep       bool   // keep the bodies of resources, for Contents

	// Dial opens connections; nil: by TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// Fleet is a number of sidecars of one control plane. Each has a connection of its own.
type Fleet struct {
	options  Options
	sidecars []*sidecar
	traffic  [types]counter
	awaited  atomic.Pointer[awaited] // nil: nothing is looked for
	lost     atomic.Int64            // streams that the other side ended
	heard    atomic.Pointer[time.Time]

	cancel  context.CancelFunc // ends the streams; nil while there are none
	running sync.WaitGroup
}

type counter struct{ messages, resources, removed, repeated, bytes atomic.Int64 }

// Traffic is what sidecars got of one type since their fleet was made.
type Traffic struct {
	Messages  int64 `json:"messages"`
	Resources int64 `json:"resources"`
	Removed   int64 `json:"removed"`
	Repeated  int64 `json:"repeated"` // resources that were sent in the version that the sidecar had
	Bytes     int64 `json:"bytes"`    // of messages, without frames of HTTP/2
}

// ByType is traffic by Type.
type ByType [types]Traffic

// Add sums up.
func (t Traffic) Add(o Traffic) Traffic {
	return Traffic{t.Messages + o.Messages, t.Resources + o.Resources, t.Removed + o.Removed, t.Repeated + o.Repeated, t.Bytes + o.Bytes}
}

// Sub gives the difference.
func (t Traffic) Sub(o Traffic) Traffic {
	return Traffic{t.Messages - o.Messages, t.Resources - o.Resources, t.Removed - o.Removed, t.Repeated - o.Repeated, t.Bytes - o.Bytes}
}

// NewFleet makes a sidecar of each node. None is connected yet.
func NewFleet(nodes []*corev3.Node, o Options) *Fleet {
	f := &Fleet{options: o}
	for i, node := range nodes {
		f.sidecars = append(f.sidecars, &sidecar{fleet: f, number: i, node: node, session: newSession(o)})
	}
	return f
}

// Connect connects all sidecars at once and waits until each has all of its configuration. It gives how long each took.
func (f *Fleet) Connect(ctx context.Context) ([]time.Duration, error) {
	streams, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f.cancel = cancel
	begin := time.Now()
	took := make([]time.Duration, len(f.sidecars))
	var waiting sync.WaitGroup
	waiting.Add(len(f.sidecars))
	for i, s := range f.sidecars {
		complete := sync.OnceFunc(func() {
			took[i] = time.Since(begin)
			waiting.Done()
		})
		f.running.Go(func() { s.run(streams, complete) })
	}
	all := make(chan struct{})
	go func() {
		waiting.Wait()
		close(all)
	}()
	select {
	case <-all:
		return took, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait until all sidecars have their configuration: %w", ctx.Err())
	}
}

// Disconnect ends all streams, and returns when they have ended. What the sidecars know stays.
func (f *Fleet) Disconnect() {
	if f.cancel != nil {
		f.cancel()
		f.cancel = nil
	}
	f.running.Wait()
}

// Expect makes the fleet look for changes, and for no others.
func (f *Fleet) Expect(changes ...*Change) { f.awaited.Store(newAwaited(changes, len(f.sidecars))) }

// Traffic gives what was received so far, by type.
func (f *Fleet) Traffic() (all ByType) {
	for t := range f.traffic {
		c := &f.traffic[t]
		all[t] = Traffic{c.messages.Load(), c.resources.Load(), c.removed.Load(), c.repeated.Load(), c.bytes.Load()}
	}
	return all
}

// Lost is how many streams the other side has ended.
func (f *Fleet) Lost() int64 { return f.lost.Load() }

// Quiet waits until nothing has arrived for a time.
func (f *Fleet) Quiet(ctx context.Context, long time.Duration) error {
	begin := time.Now()
	for {
		last := begin
		if heard := f.heard.Load(); heard != nil && heard.After(begin) {
			last = *heard
		}
		left := long - time.Since(last)
		if left <= 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until nothing is sent for %s: %w", long, ctx.Err())
		case <-time.After(left):
		}
	}
}

// Contents gives what a sidecar has of a type, if the fleet keeps it: the bodies of resources by name.
func (f *Fleet) Contents(number int, t Type) map[string]string {
	s := f.sidecars[number]
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]string{}
	for name, body := range s.session.subs[t].bodies {
		all[name] = string(body)
	}
	return all
}
