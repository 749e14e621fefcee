package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// print writes the result for people.
func (r *Result) print(w io.Writer) {
	z, m := r.Sizes, r.Machine
	fmt.Fprintf(w, "\n%s, commit %s: %d services x %d endpoints in each of %d cluster(s), %d sidecars, %s\n",
		r.Date.Format("2006-01-02 15:04"), r.Commit, z.Services, z.Endpoints, z.Clusters, z.Proxies, r.Protocol)
	fmt.Fprintf(w, "%s, %d cores, %d MiB, Linux %s, %s; load %s before, %s after\n\n",
		m.Processor, m.Cores, m.MemoryMiB, m.Kernel, m.Go, m.LoadBefore, m.LoadAfter)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "scenario\tseconds\tCPU s\tchanges\tCPU ms/change\tp50 ms\tp99 ms\tmax ms\tmissing\tKiB/proxy\tmessages\trepeated\tresident MiB\tpeak MiB\t")
	for _, s := range r.Scenarios {
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t", s.Name, s.Seconds, s.CPUSeconds)
		if s.Changes > 0 {
			fmt.Fprintf(t, "%d\t%.2f\t", s.Changes, s.CPUMillisAChange)
		} else {
			fmt.Fprint(t, "\t\t")
		}
		if l := s.Latency; l != nil {
			fmt.Fprintf(t, "%.1f\t%.1f\t%.1f\t%d\t", l.P50, l.P99, l.Max, l.Missing)
		} else {
			fmt.Fprint(t, "\t\t\t\t")
		}
		fmt.Fprintf(t, "%.1f\t%d\t%d\t%.0f\t%.0f\t\n", s.kibAProxy(z.Proxies), s.Traffic.Messages, s.Traffic.Repeated, s.ResidentMiB, s.PeakMiB)
	}
	_ = t.Flush() // to a buffer or the terminal
}

func (s *Scenario) kibAProxy(proxies int) float64 {
	return float64(s.Traffic.Bytes) / 1024 / float64(proxies)
}

// words says the most important of a scenario in a line.
func (s *Scenario) words() string {
	text := fmt.Sprintf("%.1f s, CPU %.2f s", s.Seconds, s.CPUSeconds)
	if l := s.Latency; l != nil {
		text += fmt.Sprintf(", p50 %.1f ms, p99 %.1f ms, %d of %d missing", l.P50, l.P99, l.Missing, l.Pairs)
	}
	if s.LostStreams > 0 {
		text += fmt.Sprintf(", %d streams lost", s.LostStreams)
	}
	return text
}

// compare writes the figures beside those of an earlier run.
func (r *Result) compare(w io.Writer, last *Result) {
	fmt.Fprintf(w, "\nagainst %s, commit %s, %d cores, load %s (before -> now)\n\n",
		last.Date.Format("2006-01-02 15:04"), last.Commit, last.Machine.Cores, last.Machine.LoadBefore)
	was := map[string]Scenario{}
	for _, s := range last.Scenarios {
		was[s.Name] = s
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "scenario\tp50 ms\tp99 ms\tCPU s\tKiB/proxy\tpeak MiB\t")
	for _, s := range r.Scenarios {
		old, known := was[s.Name]
		if !known {
			fmt.Fprintf(t, "%s\tnew\t\t\t\t\t\n", s.Name)
			continue
		}
		p50, p99 := "", ""
		if s.Latency != nil && old.Latency != nil {
			p50, p99 = step(old.Latency.P50, s.Latency.P50), step(old.Latency.P99, s.Latency.P99)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t\n", s.Name, p50, p99, step(old.CPUSeconds, s.CPUSeconds),
			step(old.kibAProxy(last.Sizes.Proxies), s.kibAProxy(r.Sizes.Proxies)), step(old.PeakMiB, s.PeakMiB))
	}
	_ = t.Flush() // to a buffer or the terminal
}

// step writes how a figure went.
func step(was, is float64) string {
	text := fmt.Sprintf("%.1f -> %.1f", was, is)
	if was < 0.05 {
		return text
	}
	return text + fmt.Sprintf(" (%+.0f %%)", 100*(is-was)/was)
}
