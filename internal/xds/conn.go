package xds

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/isthmus-mesh/isthmus/internal/view"
)

// wire is what a connection uses of the streams of both protocols.
type wire interface {
	Context() context.Context
	SendMsg(m any) error
}

// conn is one stream of one proxy. The goroutine that serves it is the only one that changes it.
type conn struct {
	server      *Server
	wire        wire
	incremental bool // delta protocol
	id          uint64
	proxy       view.Proxy
	caller      string // namespace of the authenticated caller; empty without authentication
	nodeID      string
	address     string
	connected   time.Time

	current *publication
	warming names // upstreams sent to a returning proxy that has not asked for endpoints yet
	pushes  uint64

	mu      sync.Mutex // guards watches and what they hold against readers of the state
	watches []*watch   // in the order they are pushed
}

// received is a request, or why there are no more.
type received struct {
	request *request
	err     error
}

// maxTypes bounds how many types one stream may ask for.
const maxTypes = 32

// serve runs one stream until it ends. A panic ends this stream only: one proxy's request must not take the
// configuration of all others away.
func (s *Server) serve(w wire, incremental bool, recv func() (*request, error)) (err error) {
	defer s.recovered(&err)
	ctx := w.Context()
	c := &conn{server: s, wire: w, incremental: incremental, connected: time.Now()}
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		c.address = p.Addr.String()
	}
	namespace, account, err := s.authenticate(ctx)
	if err != nil {
		return err
	}
	c.caller = namespace

	requests := make(chan received, 1)
	go s.receive(ctx, recv, requests)
	first, err := c.first(ctx, requests)
	if err != nil {
		return ended(err)
	}
	if err := c.identify(first, account); err != nil {
		return err
	}
	if err := s.awaitSnapshot(ctx, c); err != nil {
		return err
	}
	s.add(c)
	s.metrics.connected(c.proxy.Version, 1)
	defer c.close()
	return ended(c.run(ctx, first, requests))
}

func (s *Server) recovered(err *error) {
	if p := recover(); p != nil {
		s.metrics.internalErrors.Inc()
		s.opts.Log.Error("stream panicked", "panic", p, "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "internal error while serving this stream")
	}
}

func (s *Server) authenticate(ctx context.Context) (namespace, account string, err error) {
	if s.opts.Authenticate == nil {
		return "", "", nil
	}
	namespace, account, err = s.opts.Authenticate(ctx)
	if err == nil && namespace == "" {
		err = fmt.Errorf("the credential names no namespace")
	}
	if err != nil {
		if _, ok := status.FromError(err); ok {
			return "", "", err
		}
		return "", "", status.Error(codes.Unauthenticated, err.Error())
	}
	return namespace, account, nil
}

// receive passes requests on until the stream ends.
func (s *Server) receive(ctx context.Context, recv func() (*request, error), out chan<- received) {
	for {
		var r received
		func() {
			defer s.recovered(&r.err)
			r.request, r.err = recv()
		}()
		select {
		case out <- r:
		case <-ctx.Done():
			return
		}
		if r.err != nil {
			return
		}
	}
}

// first waits for the first request that asks for something.
func (c *conn) first(ctx context.Context, requests <-chan received) (*request, error) {
	for {
		select {
		case r := <-requests:
			if r.err != nil || r.request.typeURL != typeHealth {
				return r.request, r.err
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// identify takes the proxy's facts from its first request, and holds them against the caller's credential.
func (c *conn) identify(first *request, account string) error {
	p, err := parseNode(first.node)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if c.server.opts.Authenticate != nil {
		if p.ServiceAccount == "" {
			p.ServiceAccount = account
		}
		if p.Namespace != c.caller || p.ServiceAccount != account {
			return status.Errorf(codes.PermissionDenied, "%s/%s may not ask for the configuration of %s/%s",
				c.caller, account, p.Namespace, p.ServiceAccount)
		}
	}
	c.proxy, c.nodeID = p, first.node.GetId()
	return nil
}

// awaitSnapshot holds a stream back until there is something to serve: an empty answer would take away what the proxy has.
func (s *Server) awaitSnapshot(ctx context.Context, c *conn) error {
	c.current = s.current.Load()
	if c.current.snapshot != nil {
		return nil
	}
	timeout := time.NewTimer(s.opts.FirstSnapshotWait)
	defer timeout.Stop()
	select {
	case <-c.current.next:
		c.current = s.current.Load()
		return nil
	case <-timeout.C:
		return status.Errorf(codes.Unavailable, "no configuration after %s: the control plane is still starting", s.opts.FirstSnapshotWait)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *conn) close() {
	c.server.remove(c)
	c.server.metrics.connected(c.proxy.Version, -1)
	c.server.metrics.forget(c.nodeID)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.watches {
		c.server.store.release(w.sent)
		w.sent = nil
	}
}

// run serves requests and pushes. What can happen: the proxy asks or answers, a snapshot is published, the stream
// ends. While a response is being sent, both pile up: of snapshots only the newest is looked at.
func (c *conn) run(ctx context.Context, first *request, requests <-chan received) error {
	if err := c.handle(first); err != nil {
		return err
	}
	for {
		if err := c.push(); err != nil {
			return err
		}
		select {
		case r := <-requests:
			if r.err != nil {
				return r.err
			}
			if err := c.handle(r.request); err != nil {
				return err
			}
		case <-c.current.next:
			c.current = c.server.current.Load()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// handle takes in one request. What follows from it is sent by push.
func (c *conn) handle(r *request) error {
	switch {
	case r.typeURL == "":
		return status.Error(codes.InvalidArgument, "request without a type")
	case r.typeURL == typeHealth:
		return nil
	case isDebug(r.typeURL):
		return c.debug(r)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	w, err := c.watch(r.typeURL)
	if err != nil {
		return err
	}
	if r.nonce != "" && w.nonce != "" && !c.answer(w, r) && !c.incremental {
		return nil // an answer to a response that a newer one has overtaken; its names are old too
	}
	switch {
	case c.incremental:
		var warming names
		if w.typeURL == typeEndpoint {
			warming, c.warming = c.warming, nil
		}
		w.delta(r, warming)
	case r.problem == nil:
		w.world(r)
	}
	return nil
}

// watch finds or makes the watch of a type.
func (c *conn) watch(typeURL string) (*watch, error) {
	if w := c.watching(typeURL); w != nil {
		return w, nil
	}
	if len(c.watches) >= maxTypes {
		return nil, status.Errorf(codes.ResourceExhausted, "more than %d types on one stream", maxTypes)
	}
	w := &watch{typeURL: typeURL, fresh: true}
	c.watches = append(c.watches, w)
	slices.SortStableFunc(c.watches, func(a, b *watch) int { return rank(a.typeURL) - rank(b.typeURL) })
	return w, nil
}

func (c *conn) watching(typeURL string) *watch {
	for _, w := range c.watches {
		if w.typeURL == typeURL {
			return w
		}
	}
	return nil
}

// answer notes an acknowledgement or a refusal, and says whether it was of the last push.
func (c *conn) answer(w *watch, r *request) bool {
	if !w.answered(r, time.Now()) {
		c.server.metrics.expired.WithLabelValues(short(w.typeURL)).Inc()
		return false
	}
	if r.problem != nil {
		again := w.refuse(r.problem.GetMessage())
		if c.incremental { // in the other protocol, what a response leaves out may be deleted
			w.owe(again)
		}
		c.server.metrics.reject(w.typeURL, c.nodeID, codes.Code(r.problem.GetCode()))
		c.server.opts.Log.Warn("proxy refused configuration", "proxy", c.name(), "type", short(w.typeURL),
			"resources", len(w.rejected), "error", w.refused)
	}
	w.flight = nil
	return true
}

// name is how people name the proxy: POD.NAMESPACE.
func (c *conn) name() string { return c.proxy.Name + "." + c.proxy.Namespace }

func (c *conn) nextNonce(version string) string {
	c.pushes++
	return version + "-" + strconv.FormatUint(c.id, 36) + "-" + strconv.FormatUint(c.pushes, 36)
}
