package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"
)

// labProgram is the lab's own binary. It has Kubernetes' server code in it, which the command line must stay free of.
const labProgram = "isthmus-lab"

func newLabCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "lab COMMAND",
		Short: "Real Kubernetes clusters on this Linux machine, without Docker",
		Long: `Real Kubernetes clusters on this Linux machine, without Docker and without a virtual machine.

Everything after "lab" goes to the program ` + labProgram + `, which stands beside this one or on the PATH.`,
		Example: `  isthmus lab up --clusters 2
  isthmus lab status
  isthmus lab down`,
		DisableFlagParsing: true, // flags are the lab's own
		RunE: func(cmd *cobra.Command, args []string) error {
			program, err := findLab()
			if err != nil {
				return err
			}
			lab := exec.CommandContext(cmd.Context(), program, args...)
			lab.Env = append(os.Environ(), "ISTHMUS_LAB_COMMAND="+cmd.CommandPath())
			lab.Stdin, lab.Stdout, lab.Stderr = g.In, g.Out, g.Err
			// The lab cleans up on an interrupt, so it gets one and the time that it needs.
			lab.Cancel = func() error { return lab.Process.Signal(os.Interrupt) }
			err = lab.Run()
			var failed *exec.ExitError
			if errors.As(err, &failed) {
				return labFailed{failed.ExitCode()}
			}
			return err
		},
	}
}

// labFailed is a lab command that has said itself what went wrong, so there is nothing left to print.
type labFailed struct{ code int }

func (l labFailed) Error() string { return "" }
func (l labFailed) ExitCode() int { return l.code }

// findLab looks beside this program first, then on the PATH.
func findLab() (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), labProgram)
		if _, err := os.Stat(beside); err == nil {
			return beside, nil
		}
	}
	program, err := exec.LookPath(labProgram)
	if err != nil {
		return "", fmt.Errorf("no %s beside this program or on the PATH: run `make build` in the source tree", labProgram)
	}
	return program, nil
}
