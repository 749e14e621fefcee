// Command isthmus is the command line of the mesh. It answers to the name istioctl too.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/isthmus-mesh/isthmus/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal lets the command clean up; after it, a second one ends the program on the spot.
	context.AfterFunc(ctx, stop)
	root := cli.New(os.Args[0], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	if err := root.ExecuteContext(ctx); err != nil {
		code := 1
		var coded interface{ ExitCode() int }
		if errors.As(err, &coded) {
			code = coded.ExitCode()
		}
		if text := err.Error(); text != "" { // empty: the command has said it already
			fmt.Fprintf(os.Stderr, "Error: %s\n", text)
		}
		os.Exit(code)
	}
}
