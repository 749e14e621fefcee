package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// progress tells what a command does. On a terminal the last line is rewritten while something is waited for; elsewhere each state
// is a line of its own, once.
type progress struct {
	out   io.Writer
	width func() int // of the terminal; nil when out is none
	state string     // the last that was waited for
	open  bool       // the terminal's line is one to be rewritten
}

func newProgress(out io.Writer) *progress {
	p := &progress{out: out}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		p.width = func() int {
			width, _, err := term.GetSize(int(file.Fd()))
			if err != nil {
				return 80
			}
			return width
		}
	}
	return p
}

// eraseLine takes the cursor to the start of the line and clears it.
const eraseLine = "\r\x1b[K"

// say writes a line that stays.
func (p *progress) say(format string, args ...any) {
	if p.open {
		_, _ = io.WriteString(p.out, eraseLine)
		p.open = false
	}
	_, _ = fmt.Fprintf(p.out, format+"\n", args...)
}

// waiting writes what is waited for, and on a terminal for how long.
func (p *progress) waiting(state string, elapsed time.Duration) {
	if p.width == nil {
		if state != p.state {
			p.say("%s", state)
		}
		p.state = state
		return
	}
	line := []rune(fmt.Sprintf("%s %s", elapsed.Truncate(time.Second), state))
	// A line that wraps could not be rewritten.
	line = line[:min(len(line), max(p.width()-1, 0))]
	_, _ = io.WriteString(p.out, eraseLine+string(line))
	p.open = true
}
