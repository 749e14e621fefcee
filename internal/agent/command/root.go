// Package command is the agent's command line, one file a command. It answers to the flags that Istio's agent and its capture tool
// have, as pod templates name them.
package command

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/isthmus-mesh/isthmus/internal/probe"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

// New is the whole command line.
func New() *cobra.Command {
	root := &cobra.Command{
		Use:           "agent",
		Short:         "What runs in a pod beside Envoy",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newProxy(), newCapture(), newRequest(), newWait(), newVersion(), probe.NewCommand())
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version.Version)
			return err
		},
	}
}

// logFlags are Istio's flags for the log.
type logFlags struct {
	level  string
	asJSON bool
}

func (l *logFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&l.level, "log_output_level", "default:info", "how much to log: debug, info, warn, error or none, also as SCOPE:LEVEL, where the scopes default and all count")
	flags.BoolVar(&l.asJSON, "log_as_json", false, "log in JSON")
}

// logger writes to stderr; stdout is for what was asked.
func (l *logFlags) logger() (*slog.Logger, error) {
	level, err := parseLevel(l.level)
	if err != nil {
		return nil, err
	}
	return slog.New(l.handler(os.Stderr, level)), nil
}

func (l *logFlags) handler(to io.Writer, level slog.Level) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if l.asJSON {
		return slog.NewJSONHandler(to, options)
	}
	return slog.NewTextHandler(to, options)
}

// parseLevel reads Istio's list of SCOPE:LEVEL. The scopes of Istio's agent are not this agent's; the default one counts.
func parseLevel(text string) (slog.Level, error) {
	level := slog.LevelInfo
	for part := range strings.SplitSeq(text, ",") {
		scope, name, scoped := strings.Cut(strings.TrimSpace(part), ":")
		if !scoped {
			scope, name = "default", scope
		}
		parsed, ok := map[string]slog.Level{
			"debug": slog.LevelDebug, "info": slog.LevelInfo, "": slog.LevelInfo, "warn": slog.LevelWarn,
			"warning": slog.LevelWarn, "error": slog.LevelError, "fatal": slog.LevelError, "none": slog.LevelError + 1,
		}[name]
		if !ok {
			return 0, fmt.Errorf("log level %q: want debug, info, warn, error or none", name)
		}
		if scope == "default" || scope == "all" {
			level = parsed
		}
	}
	return level, nil
}

// ignored takes flags with a value that Istio's templates may set and that have no meaning here.
func ignored(flags *pflag.FlagSet, why string, names ...string) {
	for _, name := range names {
		flags.String(name, "", "accepted and ignored: "+why)
	}
}

// ignoredSwitches does the same for flags that are on or off.
func ignoredSwitches(flags *pflag.FlagSet, why string, names ...string) {
	for _, name := range names {
		flags.Bool(name, false, "accepted and ignored: "+why)
	}
}
