package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// confirm asks until the answer is yes or no. The end of the input is a no, and so is an interrupt.
func confirm(ctx context.Context, s Streams, question string) bool {
	answers := bufio.NewScanner(interruptible{ctx, s.In})
	for {
		_, _ = fmt.Fprint(s.Out, question)
		if !answers.Scan() {
			_, _ = fmt.Fprintln(s.Out)
			return false
		}
		switch strings.ToLower(strings.TrimSpace(answers.Text())) {
		case "y", "yes":
			return true
		case "n", "no":
			return false
		}
	}
}

// interruptible is a reader that gives up when the context ends. A terminal cannot be read in another way: a read of it returns
// when the line does, whatever signals come. The read that was given up goes on and takes what comes next, so nobody may read
// from the same place after it; a command that was interrupted ends.
type interruptible struct {
	ctx context.Context
	in  io.Reader
}

func (r interruptible) Read(p []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	buffer := make([]byte, len(p)) // p is the caller's again once this returns
	done := make(chan result, 1)
	go func() {
		n, err := r.in.Read(buffer)
		done <- result{n, err}
	}()
	// What can happen: something is read, the command is interrupted.
	select {
	case read := <-done:
		return copy(p, buffer[:read.n]), read.err
	case <-r.ctx.Done():
		return 0, errors.New("interrupted")
	}
}
