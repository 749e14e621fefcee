// Command guide runs the commands of a documentation page, as the demo and the tests do.
//
//	go run ./tools/guide -settle 2m -answer y docs/install/multi-primary.md
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/guide"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "Error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir := flag.String("dir", ".", "folder that the first command runs in")
	answer := flag.String("answer", "", "what is typed at prompts")
	settle := flag.Duration("settle", 2*time.Minute, "how long a command is repeated until its output looks as the page shows it")
	list := flag.Bool("list", false, "print the commands instead of running them")
	flag.Parse()
	for _, page := range flag.Args() {
		commands, err := guide.Load(page)
		if err != nil {
			return err
		}
		if *list {
			for _, c := range commands {
				fmt.Printf("# line %d\n%s\n", c.Line, c.Text)
			}
			continue
		}
		r := guide.Runner{Dir: *dir, Env: os.Environ(), Answer: *answer, Out: os.Stdout, Settle: *settle}
		if err := r.Run(ctx, commands); err != nil {
			return fmt.Errorf("%s: %w", page, err)
		}
	}
	return nil
}
