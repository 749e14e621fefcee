package cli_test

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/internal/cli"
)

func TestTheShellIsOfferedWhatFlagsTake(t *testing.T) {
	t.Parallel()
	file := kubeconfigOf(t, "https://192.0.2.1")
	cases := []struct {
		name string
		args []string
		want string
	}{
		{"contexts", []string{"install", "--kubeconfig", file, "--context", ""}, "here\nother\n:4\n"},
		{"contexts of a kubeconfig that is not there", []string{"install", "--kubeconfig", file + "x", "--context", ""}, ":1\n"},
		{"formats", []string{"remote-clusters", "-o", ""}, "table\nwide\njson\nyaml\n:4\n"},
		{"formats of version", []string{"version", "--output", ""}, "json\nyaml\n:4\n"},
		{"commands", []string{"inst"}, "install\tInstall the mesh into a cluster, or change what is installed\n:4\n"},
	}
	for _, c := range cases {
		out, _, err := run(t, append([]string{"__complete"}, c.args...)...)
		if err != nil || out != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, out, err, c.want)
		}
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	t.Parallel()
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(cli.New("isthmus", cli.Streams{In: strings.NewReader("")}))
}
