// Command bench measures the control plane: a synthetic mesh in real API servers, the real istiod as a process of its own, and
// simulated sidecars, all on loopback. It prints a table, compares it with the last kept result of the same sizes, and writes
// both figures and circumstances as JSON. README.md says what each figure is.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/isthmus-mesh/isthmus/bench/synthetic"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		if ctx.Err() != nil {
			err = errors.New("interrupted; everything that was started has ended")
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1) //nolint:gocritic // nothing is left to be undone
	}
}

// settings are what the command line says.
type settings struct {
	sizes    synthetic.Sizes
	rates    []int         // endpoint changes a second, one scenario each
	length   time.Duration // of the scenarios that have one
	services int           // added and removed
	world    bool          // state-of-the-world protocol
	names    bool
	programs string // folder of etcd and kube-apiserver
	istiod   string // program; empty: it is built
	results  string // folder of kept results
	keep     bool
	out      string
	logs     string // where everything puts its files; empty: a temporary folder
}

func parse(args []string) (settings, error) {
	var s settings
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.IntVar(&s.sizes.Services, "services", 1000, "services")
	fs.IntVar(&s.sizes.Endpoints, "endpoints", 5, "endpoints of a service in each cluster")
	fs.IntVar(&s.sizes.Namespaces, "namespaces", 20, "namespaces")
	fs.IntVar(&s.sizes.Nodes, "nodes", 10, "nodes in each cluster")
	fs.IntVar(&s.sizes.Clusters, "clusters", 1, "clusters: 1, or 2 joined by a remote Secret")
	fs.IntVar(&s.sizes.Proxies, "proxies", 100, "sidecars, each in a pod of another service")
	rates := fs.String("rates", "1,5,20", "endpoint changes a second, one scenario each")
	fs.DurationVar(&s.length, "length", 20*time.Second, "how long endpoints change at each rate, and idle lasts")
	fs.IntVar(&s.services, "extra-services", 10, "services that are added, one a second, and then removed")
	fs.BoolVar(&s.world, "state-of-the-world", false, "sidecars speak the state-of-the-world protocol in place of delta")
	fs.BoolVar(&s.names, "names", true, "agents ask for the table of names too, as they do with DNS on")
	fs.StringVar(&s.programs, "programs", os.Getenv("LAB_BIN"), "folder of etcd and kube-apiserver, as `isthmus-lab build` prints it; $LAB_BIN")
	fs.StringVar(&s.istiod, "istiod", "", "istiod to measure (default: built from this source)")
	fs.StringVar(&s.results, "results", filepath.Join("bench", "results"), "folder of kept results")
	fs.BoolVar(&s.keep, "keep", false, "keep the result in that folder")
	fs.StringVar(&s.out, "out", "", "write the result to this file too")
	fs.StringVar(&s.logs, "logs", "", "folder for data and logs of what is started, which stays (default: a temporary one, which does not)")
	if err := fs.Parse(args); err != nil {
		return s, err
	}
	if fs.NArg() > 0 {
		return s, fmt.Errorf("unexpected %q", fs.Arg(0))
	}
	for text := range strings.SplitSeq(*rates, ",") {
		rate, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || rate < 1 {
			return s, fmt.Errorf("rates: %q is no positive number", text)
		}
		s.rates = append(s.rates, rate)
	}
	if s.programs == "" {
		return s, errors.New("say where etcd and kube-apiserver are: --programs \"$(isthmus-lab build)\", or use `make bench`")
	}
	if s.length < time.Second || s.services < 1 {
		return s, errors.New("the length is at least one second, and one service at least comes and goes")
	}
	return s, s.sizes.Validate()
}

func run(ctx context.Context, args []string) (err error) {
	s, err := parse(args)
	if err != nil {
		return err
	}
	dir, cleanUp, err := folder(s.logs)
	if err != nil {
		return err
	}
	defer cleanUp()
	result := newResult(ctx, s)
	b, err := start(ctx, s, dir, &result)
	if err != nil {
		return err
	}
	defer b.stop()
	for _, scenario := range b.scenarios() {
		if err := scenario(ctx); err != nil {
			return err
		}
	}
	b.stop()
	result.finish()
	kept, err := readKept(s.results)
	if err != nil {
		return err
	}
	result.print(os.Stdout)
	if last := lastOf(kept, result); last != nil {
		result.compare(os.Stdout, last)
	}
	return result.save(s)
}

// folder gives the folder for everything that is started, and what removes it.
func folder(wanted string) (dir string, cleanUp func(), err error) {
	if wanted != "" {
		dir, err := filepath.Abs(wanted)
		if err != nil {
			return "", nil, err
		}
		return dir, func() {}, os.MkdirAll(dir, 0o700)
	}
	dir, err = os.MkdirTemp("", "isthmus-bench-")
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// clusterNames are what the clusters are called, by number less one.
var clusterNames = []string{"cluster1", "cluster2"}

// say tells what goes on, since some of it takes long.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// sorted gives a sorted copy.
func sorted(d []time.Duration) []time.Duration { return slices.Sorted(slices.Values(d)) }
