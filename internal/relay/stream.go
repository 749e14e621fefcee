package relay

import (
	"context"
	"errors"
	"io"
	"math"
	"sync"

	"google.golang.org/grpc"

	"github.com/isthmus-mesh/isthmus/internal/nds"
)

// session is one stream of Envoy and its own stream to the control plane.
type session struct {
	relay   *Relay
	dialect dialect
	down    grpc.ServerStream

	sending sync.Mutex // guards sends to up: Envoy's requests and the relay's own
	up      grpc.ClientStream
}

// pass serves one stream of Envoy.
//
// While the control plane cannot be reached, Envoy's stream stays open and waits: nothing is reported that Envoy could not
// change. Once both streams stand, the end of one is the end of the other. Envoy then comes back after a short pause of its own
// and says what it has, so a new control plane can send the difference; if the relay kept Envoy's stream, it would have to
// remember every subscription and version to say that for it. Envoy keeps its configuration all the while.
func (r *Relay) pass(down grpc.ServerStream, method string, d dialect) error {
	ctx, cancel := context.WithCancel(down.Context())
	defer cancel()
	conn, up, err := r.connect(ctx, method)
	if err != nil {
		return err
	}
	defer conn.Close()
	s := &session{relay: r, dialect: d, down: down, up: up}
	go s.requests(cancel)
	answered, err := s.responses()
	r.metrics.terminations.Inc()
	if !answered && down.Context().Err() == nil {
		r.pacer.failed()
	}
	r.o.Log.Info("stream to the control plane ended", "target", conn.Target(), "err", err)
	return err
}

// connect tries until it has a stream or ctx ends.
func (r *Relay) connect(ctx context.Context, method string) (*grpc.ClientConn, grpc.ClientStream, error) {
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	for {
		if err := r.pacer.wait(ctx); err != nil {
			return nil, nil, err
		}
		conn, err := r.o.Dial()
		if err == nil {
			var up grpc.ClientStream
			if up, err = conn.NewStream(ctx, desc, method, grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(math.MaxInt32)); err == nil {
				return conn, up, nil
			}
			_ = conn.Close()
		}
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		r.metrics.failures.Inc()
		r.o.Log.Warn("control plane not reached", "err", err, "retry_in", r.pacer.failed())
	}
}

// requests passes what Envoy asks. end ends the session.
func (s *session) requests(end context.CancelFunc) {
	for first := true; ; first = false {
		f := &frame{}
		if err := s.down.RecvMsg(f); err != nil {
			if errors.Is(err, io.EOF) {
				s.closeSend() // the other side then ends its half, which ends the session
				return
			}
			end()
			return
		}
		s.relay.metrics.requests.Inc()
		if err := s.send(f.data); err != nil {
			return // the receiving side learns the reason
		}
		if first && s.relay.o.Names != nil {
			// Behind Envoy's first request, as that one introduces the proxy.
			_ = s.send(s.dialect.subscribe(nds.TypeURL))
		}
	}
}

func (s *session) send(data []byte) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	return s.up.SendMsg(&frame{data: data})
}

func (s *session) closeSend() {
	s.sending.Lock()
	defer s.sending.Unlock()
	_ = s.up.CloseSend() // never fails
}

// responses passes what the control plane sends, until its stream ends. answered is whether it sent anything.
func (s *session) responses() (answered bool, err error) {
	for {
		f := &frame{}
		if err := s.up.RecvMsg(f); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return answered, err
		}
		if !answered {
			answered = true
			s.relay.pacer.worked()
		}
		s.relay.metrics.responses.Inc()
		if s.relay.o.Names != nil && s.dialect.typeURL(f.data) == nds.TypeURL {
			_ = s.send(s.names(f.data)) // if that fails, the next receive tells why
			continue
		}
		if err := s.down.SendMsg(f); err != nil {
			return answered, err
		}
	}
}

// names uses a response that holds the name table and returns the relay's answer to it.
func (s *session) names(response []byte) []byte {
	resource, answer, err := s.dialect.first(response)
	if err == nil && resource != nil {
		var table nds.Table
		if table, err = nds.Unmarshal(resource); err == nil {
			s.relay.o.Names(table)
		}
	}
	if err != nil {
		s.relay.o.Log.Warn("name table refused", "err", err)
	}
	return answer(err)
}
