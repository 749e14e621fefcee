// Command load sends requests at a steady rate and counts what came back, so that a page or a test can say how many
// failed while something happened. It stands in the image of the client samples.
//
//	load -rate 100 -duration 2m http://helloworld.sample:5000/hello
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Report is what is printed at the end, as JSON.
type Report struct {
	Requests int            `json:"requests"`
	Failed   int            `json:"failed"`
	Late     int            `json:"late"`     // sent more than 100 ms after they were due
	Versions map[string]int `json:"versions"` // answers by the version that gave them
	Errors   map[string]int `json:"errors"`
	First    []string       `json:"firstErrors,omitempty"` // when and what, at most 20
	P50      float64        `json:"p50Ms"`
	P99      float64        `json:"p99Ms"`
	Max      float64        `json:"maxMs"`
}

func main() {
	rate := flag.Int("rate", 100, "requests a second, half of them on new connections, half on kept ones")
	duration := flag.Duration("duration", 2*time.Minute, "how long")
	timeout := flag.Duration("timeout", 10*time.Second, "of one request")
	flag.Parse()
	if flag.NArg() != 1 || *rate < 1 {
		fmt.Fprintln(os.Stderr, "usage: load [-rate 100] [-duration 2m] URL")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *duration)
	defer cancel()
	report := run(ctx, flag.Arg(0), *rate, *timeout)
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(report); err != nil {
		fmt.Fprintf(os.Stderr, "Error: %v\n", err)
		os.Exit(1)
	}
}

// client makes requests on kept connections, or each on a new one.
func client(keep bool, timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{
		DisableKeepAlives: !keep, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute,
	}}
}

// run sends at the rate until the context ends, and waits for the answers.
func run(ctx context.Context, url string, rate int, timeout time.Duration) *Report {
	c := &collector{report: Report{Versions: map[string]int{}, Errors: map[string]int{}}}
	clients := []*http.Client{client(true, timeout), client(false, timeout)}
	start := time.Now()
	var running sync.WaitGroup
	for i := 0; ; i++ {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		select {
		case <-ctx.Done():
			running.Wait()
			return c.finish()
		case <-time.After(time.Until(due)):
		}
		running.Go(func() { c.add(due, time.Since(due), send(clients[i%2], url)) })
	}
}

// answer is what one request gave.
type answer struct {
	version string
	err     string
	took    time.Duration
}

func send(c *http.Client, url string) answer {
	begin := time.Now()
	response, err := c.Get(url)
	if err != nil {
		return answer{err: err.Error(), took: time.Since(begin)}
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	a := answer{took: time.Since(begin)}
	switch {
	case err != nil:
		a.err = err.Error()
	case response.StatusCode != http.StatusOK:
		a.err = fmt.Sprintf("%s: %s", response.Status, strings.TrimSpace(string(body)))
	default:
		a.version = versionIn(string(body))
	}
	return a
}

// versionIn reads "Hello version: v1, instance: ...".
func versionIn(body string) string {
	_, rest, found := strings.Cut(body, "version: ")
	if !found {
		return "unknown"
	}
	version, _, _ := strings.Cut(rest, ",")
	return strings.TrimSpace(version)
}

// collector gathers answers.
type collector struct {
	mu     sync.Mutex // guards what follows
	report Report
	took   []float64
}

func (c *collector) add(due time.Time, late time.Duration, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Requests++
	if late > 100*time.Millisecond {
		c.report.Late++
	}
	c.took = append(c.took, float64(a.took.Microseconds())/1000)
	if a.err == "" {
		c.report.Versions[a.version]++
		return
	}
	c.report.Failed++
	c.report.Errors[a.err]++
	if len(c.report.First) < 20 {
		c.report.First = append(c.report.First, due.UTC().Format("15:04:05.000")+" "+a.err)
	}
}

func (c *collector) finish() *Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.took)
	if n := len(c.took); n > 0 {
		c.report.P50, c.report.P99, c.report.Max = c.took[n/2], c.took[n*99/100], c.took[n-1]
	}
	report := c.report
	return &report
}
