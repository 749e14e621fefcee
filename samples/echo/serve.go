package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// addresses is a flag that may be given several times.
type addresses []string

func (a *addresses) String() string { return fmt.Sprint(*a) }

// Set adds one more.
func (a *addresses) Set(address string) error {
	*a = append(*a, address)
	return nil
}

// serve listens on all addresses until ctx is done or one of them fails.
func serve(ctx context.Context, args []string) error {
	var web, rpc, line, banner addresses
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.Var(&web, "http", "address for HTTP/1.1 and HTTP/2 without TLS; may be repeated, as all")
	flags.Var(&rpc, "grpc", "address for gRPC")
	flags.Var(&line, "tcp", "address for TCP where the client speaks first: each line is answered")
	flags.Var(&banner, "banner", "address for TCP where the server speaks first")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(web)+len(rpc)+len(line)+len(banner))
	start := func(list addresses, run func(context.Context, net.Listener) error) error {
		for _, address := range list {
			l, err := net.Listen("tcp", address)
			if err != nil {
				return err
			}
			log.Printf("listens on %s", l.Addr())
			go func() { failed <- run(ctx, l) }()
		}
		return nil
	}
	err := errors.Join(start(web, serveHTTP), start(rpc, serveGRPC), start(line, lines(false)), start(banner, lines(true)))
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

func serveHTTP(_ context.Context, l net.Listener) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: http.HandlerFunc(answerHTTP), Protocols: protocols, ReadHeaderTimeout: 10 * time.Second}
	return server.Serve(l)
}

func serveGRPC(_ context.Context, l net.Listener) error {
	server := grpc.NewServer()
	server.RegisterService(&echoService, nil)
	healthv1.RegisterHealthServer(server, health.NewServer())
	return server.Serve(l)
}

// lines serves TCP connections: a line in, an answer out. With first, an answer goes out before anything comes in.
func lines(first bool) func(context.Context, net.Listener) error {
	return func(ctx context.Context, l net.Listener) error {
		for {
			conn, err := l.Accept()
			if err != nil {
				return err
			}
			go func() {
				stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
				defer stop()
				defer func() { _ = conn.Close() }()
				answerLines(conn, first)
			}()
		}
	}
}

func answerLines(conn net.Conn, first bool) {
	say := func(line string) bool {
		a := answer("TCP", conn.RemoteAddr().String())
		a.Line = line
		_, err := fmt.Fprintln(conn, a.text())
		return err == nil
	}
	if first && !say("") {
		return
	}
	in := bufio.NewScanner(conn)
	for in.Scan() && say(in.Text()) {
	}
}
