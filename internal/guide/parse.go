// Package guide takes the commands out of a documentation page as text and runs them in order, so that what users read
// is what is tested. It knows three forms: fenced blocks of Markdown, the block marks of Istio's page sources, and a
// page as a browser shows it. The tests and the demo use it. It never changes a command.
package guide

import (
	"fmt"
	"regexp"
	"strings"
)

// Command is one command of a page.
type Command struct {
	Line   int    // in the page, from 1
	Text   string // as a shell takes it, with its continued lines and here documents
	Output string // what the page shows below it; empty if nothing
}

// Form is how a page is written.
type Form uint8

// The forms.
const (
	Markdown Form = iota // ```bash or ```console blocks
	Source               // {{< text bash >}} blocks
	Shown                // plain text of a web page: a command is what follows "$ "
)

// FormOf tells the form of a page by its name and content.
func FormOf(name, page string) Form {
	switch {
	case strings.HasSuffix(name, ".txt"):
		return Shown
	case strings.Contains(page, "{{< text"):
		return Source
	default:
		return Markdown
	}
}

var (
	sourceOpen  = regexp.MustCompile(`^(\s*)\{\{< text (\w+)[^>]*>\}\}\s*$`)
	sourceClose = regexp.MustCompile(`^\s*\{\{< /text >\}\}\s*$`)
	fenceOpen   = regexp.MustCompile("^(\\s*)```(\\w*).*$")
	fenceClose  = regexp.MustCompile("^\\s*```\\s*$")
	insertion   = regexp.MustCompile(`(?m)^\s*\{\{< boilerplate (\S+) >\}\}\s*$`)
	samplePath  = regexp.MustCompile(`@([\w./-]+)@`)
)

// Insert puts texts in place of the page's boilerplate marks. A mark without a text stays: it holds no commands.
func Insert(page string, texts map[string]string) string {
	return insertion.ReplaceAllStringFunc(page, func(mark string) string {
		if text, ok := texts[insertion.FindStringSubmatch(mark)[1]]; ok {
			return text
		}
		return mark
	})
}

// Parse takes the commands out of a page.
func Parse(page string, form Form) ([]Command, error) {
	lines := strings.Split(page, "\n")
	switch form {
	case Shown:
		return shown(lines)
	case Source:
		return blocks(lines, sourceOpen, sourceClose, func(kind string) bool { return kind == "bash" })
	case Markdown:
		return blocks(lines, fenceOpen, fenceClose, func(kind string) bool { return kind == "bash" || kind == "console" })
	default:
		return nil, fmt.Errorf("no such form of page: %d", form)
	}
}

// blocks reads what stands between opening and closing marks. The block's own indent is taken off: a here document in a
// list would never end otherwise.
func blocks(lines []string, open, end *regexp.Regexp, wanted func(string) bool) ([]Command, error) {
	var commands []Command
	for i := 0; i < len(lines); i++ {
		m := open.FindStringSubmatch(lines[i])
		if m == nil {
			continue
		}
		start := i + 1
		for i++; i < len(lines) && !end.MatchString(lines[i]); i++ {
		}
		if i == len(lines) {
			return nil, fmt.Errorf("line %d: the block does not end", start)
		}
		if !wanted(m[2]) {
			continue
		}
		found, err := inBlock(dedent(lines[start:i], m[1]), start+1)
		if err != nil {
			return nil, err
		}
		commands = append(commands, found...)
	}
	return commands, nil
}

func dedent(lines []string, indent string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.TrimPrefix(l, indent)
	}
	return out
}

// inBlock reads commands with their output: a block without any "$ " is commands only.
func inBlock(lines []string, first int) ([]Command, error) {
	prompts := false
	for _, l := range lines {
		prompts = prompts || strings.HasPrefix(l, "$ ")
	}
	if !prompts {
		text := strings.Join(lines, "\n")
		if strings.TrimSpace(text) == "" {
			return nil, nil
		}
		return []Command{{Line: first, Text: samplePath.ReplaceAllString(text, "$1")}}, nil
	}
	var commands []Command
	for i := 0; i < len(lines); {
		if !strings.HasPrefix(lines[i], "$ ") {
			return nil, fmt.Errorf("line %d: output without a command: %q", first+i, lines[i])
		}
		c, next, err := command(lines, i, first)
		if err != nil {
			return nil, err
		}
		var output []string
		for ; next < len(lines) && !strings.HasPrefix(lines[next], "$ "); next++ {
			output = append(output, lines[next])
		}
		c.Output = strings.TrimRight(strings.Join(output, "\n"), "\n ")
		commands = append(commands, c)
		i = next
	}
	return commands, nil
}

// shown reads a page as a browser shows it: prose, commands, and output stand below each other without marks. Output is
// not told from prose, so it is left out.
func shown(lines []string) ([]Command, error) {
	var commands []Command
	for i := 0; i < len(lines); {
		if !strings.HasPrefix(strings.TrimSpace(lines[i]), "$ ") {
			i++
			continue
		}
		indent := lines[i][:len(lines[i])-len(strings.TrimLeft(lines[i], " \t"))]
		c, next, err := command(dedent(lines, indent), i, 1)
		if err != nil {
			return nil, err
		}
		commands = append(commands, c)
		i = next
	}
	return commands, nil
}

var hereDocument = regexp.MustCompile(`<<-?\s*['"]?(\w+)['"]?`)

// command reads the command that starts at a line with "$ ": with lines continued by a backslash or an open pipe, and
// here documents up to their end word.
func command(lines []string, at, first int) (Command, int, error) {
	line := strings.TrimPrefix(lines[at], "$ ")
	text := []string{line}
	next := at + 1
	more := func() bool {
		last := strings.TrimRight(text[len(text)-1], " \t")
		return strings.HasSuffix(last, `\`) || strings.HasSuffix(last, "|") || strings.HasSuffix(last, "&&")
	}
	for {
		if m := hereDocument.FindStringSubmatch(text[len(text)-1]); m != nil {
			for ; next < len(lines) && strings.TrimSpace(lines[next]) != m[1]; next++ {
				text = append(text, lines[next])
			}
			if next == len(lines) {
				return Command{}, 0, fmt.Errorf("line %d: the here document does not end with %s", first+at, m[1])
			}
			text = append(text, strings.TrimSpace(lines[next]))
			next++
			break
		}
		if !more() || next == len(lines) {
			break
		}
		text = append(text, lines[next])
		next++
	}
	joined := samplePath.ReplaceAllString(strings.Join(text, "\n"), "$1")
	return Command{Line: first + at, Text: joined}, next, nil
}
