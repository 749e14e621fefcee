// Command echo is a sample server that says who answered and what it was asked, over HTTP/1.1, HTTP/2, gRPC and TCP, and
// the client for all of them.
//
//	echo serve -http :8080 -grpc :9090 -tcp :9000 -banner :9001
//	echo call -n 20 grpc echo:9090
//	echo lookup echo.sample
//
// A server on a -banner address speaks first, as those of databases and mail do.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "Error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("say what to do: serve, call or lookup")
	}
	switch args[0] {
	case "serve":
		return serve(ctx, args[1:])
	case "call":
		return call(ctx, args[1:])
	case "lookup":
		return lookup(ctx, args[1:])
	default:
		return fmt.Errorf("%q is none of serve, call, lookup", args[0])
	}
}
