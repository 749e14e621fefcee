package main

import (
	"context"
	"net"
	"testing"
	"time"
)

func TestEveryClientIsAnsweredByItsServer(t *testing.T) {
	t.Setenv("CLUSTER", "cluster1")
	cases := []struct {
		mode, protocol, line string
		serve                func(context.Context, net.Listener) error
	}{
		{"http1.0", "HTTP/1.0", "", serveHTTP},
		{"http1", "HTTP/1.1", "", serveHTTP},
		{"http2", "HTTP/2.0", "", serveHTTP},
		{"grpc", "gRPC", "", serveGRPC},
		{"tcp", "TCP", "hello", lines(false)},
		{"banner", "TCP", "", lines(true)},
	}
	for _, c := range cases {
		t.Run(c.mode, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			go func() { _ = c.serve(t.Context(), l) }()
			ask, err := askerOf(c.mode, l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			report := Report{Answers: map[string]int{}}
			for range 2 {
				report.add(once(t.Context(), 10*time.Second, ask, l.Addr().String()))
			}
			if report.Answers["cluster1"] != 2 || report.Last.Protocol != c.protocol || report.Last.Line != c.line {
				t.Errorf("report = %+v", report)
			}
		})
	}
}

func TestAClientThatIsNotAnsweredSaysSo(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { _ = lines(false)(t.Context(), l) }()
	ask, err := askerOf("banner", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	report := Report{Answers: map[string]int{}}
	report.add(once(t.Context(), 100*time.Millisecond, ask, l.Addr().String()))
	if report.Failed != 1 || len(report.Errors) != 1 {
		t.Errorf("report = %+v", report)
	}
}
