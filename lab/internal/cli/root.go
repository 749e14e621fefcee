// Package cli is the lab's command line: one file a command. A command reads its flags, calls the package lab and prints.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/lab/internal/lab"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
	"github.com/isthmus-mesh/isthmus/lab/internal/progress"
)

// exitCode is an error that only sets the exit code: what there was to say has been said.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Main runs the command line of this process and returns its exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	err := root.ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "interrupted")
		return 130
	default:
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		return 1
	}
}

// program is what users type to get here.
func program() string {
	if name := os.Getenv("ISTHMUS_LAB_COMMAND"); name != "" {
		return name
	}
	return "isthmus lab"
}

// asRoot is this process' command for a user who may become root.
func asRoot() string {
	self, err := executable()
	if err != nil {
		self = "isthmus-lab"
	}
	return sudo(self, os.Args[1:], os.Environ())
}

// sudo has a PATH of its own, on which neither this program nor Go need be, and drops what environment labs are set up by.
func sudo(self string, args, environ []string) string {
	words := []string{"sudo", "env", `"PATH=$PATH"`}
	for _, variable := range environ {
		if strings.HasPrefix(variable, "ISTHMUS_CACHE=") || strings.HasPrefix(variable, "ISTHMUS_LAB_DIR=") {
			words = append(words, quote(variable))
		}
	}
	for _, word := range append([]string{self}, args...) {
		words = append(words, quote(word))
	}
	return strings.Join(words, " ")
}

var plainWord = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// quote writes a word as a shell takes it.
func quote(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "lab",
		Short: "Real Kubernetes clusters on this machine, without Docker and without a virtual machine",
		Long: `Real Kubernetes clusters on this machine, without Docker and without a virtual machine.

All components are the real ones, built from their sources into a cache the first time. Every node is a set
of Linux namespaces; everything of a lab is gone after ` + "`down`" + `.`,
		Example:       example("up", "status", "kubeconfig > lab.kubeconfig", "down"),
		SilenceErrors: true,
		SilenceUsage:  true,
		// Cobra shows this wherever it names the command.
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: program()},
	}
	root.AddCommand(
		newUp(), newDown(), newStatus(), newKubeconfig(), newLoadImage(), newLogs(), newExec(), newBuild(), newInstallPackages(),
		newCloudController(), newNodeSupervisor(),
	)
	return root
}

// example is a command's examples, one line each, as users type them.
func example(lines ...string) string {
	var text []string
	for _, line := range lines {
		text = append(text, "  "+program()+" "+line)
	}
	return strings.Join(text, "\n")
}

// addName adds the flag that says which lab is meant.
func addName(command *cobra.Command, name *string) {
	command.Flags().StringVar(name, "name", "isthmus", "the lab's name")
	check := command.PreRunE
	command.PreRunE = func(c *cobra.Command, args []string) error {
		if check != nil {
			if err := check(c, args); err != nil {
				return err
			}
		}
		return plan.CheckName(*name)
	}
	_ = command.RegisterFlagCompletionFunc("name", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		names, _ := lab.DefaultStore().Names() // nothing to complete is the answer to an error
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// load reads the lab's state; for a lab that is not there the error says how to make it.
func load(name string) (lab.State, error) {
	state, err := lab.DefaultStore().Load(name)
	if errors.Is(err, lab.ErrNoLab) {
		return state, fmt.Errorf("%w; bring it up with `%s up --name %s`", err, program(), name)
	}
	return state, err
}

func newPrinter(out io.Writer) *progress.Printer { return progress.New(out) }

// lock waits for other commands that change labs.
func lock(ctx context.Context, say *progress.Printer) (func(), error) {
	return lab.Lock(ctx, func() { say.Say("another command is changing labs on this machine; waiting for it") })
}
