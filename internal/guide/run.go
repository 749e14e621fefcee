package guide

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Runner runs the commands of a page as a user would type them into one shell: what a command exports, and where it
// changes to, holds for the next.
type Runner struct {
	Dir    string        // where the first command runs
	Env    []string      // complete, as of os.Environ
	Answer string        // what is typed at prompts; empty means nothing is typed
	Out    io.Writer     // shows commands and their output while they run; nil shows nothing
	Settle time.Duration // how long a command is repeated until its output looks as shown; zero tries once

	// Between two commands, for tests that look or interfere; nil does nothing.
	After func(Command, string) error
}

// Run runs the commands in order and ends at the first that fails or, after it settled, does not look as shown.
func (r *Runner) Run(ctx context.Context, commands []Command) error {
	state, err := os.CreateTemp("", "guide-state-")
	if err != nil {
		return err
	}
	_ = state.Close()
	defer func() { _ = os.Remove(state.Name()) }()
	for _, c := range commands {
		r.show("$ %s\n", c.Text)
		output, err := r.settled(ctx, c, state.Name())
		if err != nil {
			return fmt.Errorf("line %d: %s: %w", c.Line, firstLine(c.Text), err)
		}
		if r.After != nil {
			if err := r.After(c, output); err != nil {
				return fmt.Errorf("after line %d: %s: %w", c.Line, firstLine(c.Text), err)
			}
		}
	}
	return nil
}

// settled runs a command, and again as long as its output does not look as shown and time is left.
func (r *Runner) settled(ctx context.Context, c Command, state string) (string, error) {
	deadline := time.Now().Add(r.Settle)
	for {
		output, err := r.once(ctx, c, state)
		if err != nil {
			return "", err
		}
		wrong := SameShape(c.Output, output)
		if wrong == nil {
			r.show("%s", output)
			return output, nil
		}
		if time.Now().After(deadline) {
			return "", fmt.Errorf("the output does not look as the page shows it: %w", wrong)
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// script takes over the state of the command before, runs one and leaves its state. A block without prompts is one command of several
// lines, each of which has to succeed; so has each side of a pipe.
const script = `source %[1]q
set -e -o pipefail
%[2]s
{ echo "cd $(printf %%q "$PWD")"; export -p; } > %[1]q
`

// once runs a command in a shell of its own.
func (r *Runner) once(ctx context.Context, c Command, state string) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", "-c", fmt.Sprintf(script, state, c.Text))
	cmd.Dir, cmd.Env = r.Dir, r.Env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if r.Answer != "" {
		cmd.Stdin = strings.NewReader(r.Answer + "\n")
	}
	var out, errs bytes.Buffer
	cmd.Stdout = &out
	cmd.Stderr = &errs
	err := cmd.Run()
	if errs.Len() > 0 {
		r.show("%s", errs.String())
	}
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return "", fmt.Errorf("exit code %d\n%s%s", failed.ExitCode(), out.String(), errs.String())
	}
	return out.String(), err
}

func (r *Runner) show(format string, args ...any) {
	if r.Out != nil {
		fmt.Fprintf(r.Out, format, args...)
	}
}

func firstLine(text string) string {
	line, rest, found := strings.Cut(text, "\n")
	if found && rest != "" {
		return line + " ..."
	}
	return line
}

// Load reads a page and takes its commands out, with what boilerplate marks stand for from the files boilerplate-NAME.md
// beside it.
func Load(path string) ([]Command, error) {
	page, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	inserts, err := filepath.Glob(filepath.Join(filepath.Dir(path), "boilerplate-*.md"))
	if err != nil {
		return nil, err
	}
	for _, file := range inserts {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "boilerplate-"), ".md")
		texts[name] = string(text)
	}
	form := FormOf(path, string(page))
	return Parse(Insert(string(page), texts), form)
}
