// Package progress tells a waiting person what is being done, for how long, and how long it took the last time. Commands and the build of
// binaries use it. It writes plain lines when the output is not a terminal, and decides nothing.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// Printer writes progress. Its methods may be called from several goroutines.
type Printer struct {
	mu       sync.Mutex // guards what follows
	out      io.Writer
	terminal bool
	live     bool // the last line is unfinished
}

// New returns a printer to out. On a terminal the line of a step is rewritten every second.
func New(out io.Writer) *Printer {
	p := &Printer{out: out}
	if f, ok := out.(*os.File); ok {
		p.terminal = term.IsTerminal(int(f.Fd()))
	}
	return p
}

// Say prints one line.
func (p *Printer) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// plainInterval is the time between two signs of life on an output that is no terminal, such as a CI log.
const plainInterval = 30 * time.Second

// Step runs work and shows it as what. last is how long it took the last time, or zero when that is not known.
func (p *Printer) Step(what string, last time.Duration, work func() error) error {
	start := time.Now()
	interval := plainInterval
	if p.terminal {
		interval = time.Second
	}
	p.running(what, 0, last)
	done := make(chan struct{})
	var shown sync.WaitGroup
	shown.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				p.running(what, time.Since(start), last)
			case <-done:
				return
			}
		}
	})
	err := work()
	close(done)
	shown.Wait()
	if err != nil {
		p.Say("  %s: failed after %s", what, Round(time.Since(start)))
		return err
	}
	p.Say("  %s: %s", what, Round(time.Since(start)))
	return nil
}

func (p *Printer) running(what string, for_ time.Duration, last time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := fmt.Sprintf("  %s ...", what)
	if for_ > 0 {
		line += " " + Round(for_).String()
	}
	if last > 0 {
		line += fmt.Sprintf(" (last time %s)", Round(last))
	}
	if p.terminal {
		p.clear()
		fmt.Fprint(p.out, line)
		p.live = true
		return
	}
	// Short steps say nothing until they are done.
	if for_ > 0 || last > plainInterval {
		fmt.Fprintln(p.out, line)
	}
}

func (p *Printer) clear() {
	if p.live {
		fmt.Fprint(p.out, "\r\033[K")
		p.live = false
	}
}

// Round shortens a duration to what a person wants to read.
func Round(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}
