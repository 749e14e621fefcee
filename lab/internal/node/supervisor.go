package node

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/isthmus-mesh/isthmus/lab/internal/config"
)

// supervisor keeps the components of a node running and takes in the orphans, as the first process of a namespace must.
type supervisor struct {
	spec config.Node
	log  *slog.Logger

	mu      sync.Mutex              // guards running
	running map[int]chan<- struct{} // process id to what is closed when the process has ended
}

func newSupervisor(spec config.Node) *supervisor {
	return &supervisor{
		spec:    spec,
		log:     slog.New(slog.NewTextHandler(os.Stderr, nil)).With("node", spec.Node.Name),
		running: map[int]chan<- struct{}{},
	}
}

// run starts everything and never ends but with an error.
func (s *supervisor) run() error {
	if err := syscall.Sethostname([]byte(s.spec.Node.Name)); err != nil {
		return fmt.Errorf("set hostname: %w", err)
	}
	for _, c := range s.spec.Components {
		go s.keep(c)
	}
	children := make(chan os.Signal, 1)
	notifyChildren(children)
	for range children {
		s.reap()
	}
	return errors.New("unreachable: the channel of signals is never closed")
}

// reap takes in all processes that have ended.
func (s *supervisor) reap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if pid <= 0 || err != nil {
			return
		}
		if ended, ok := s.running[pid]; ok {
			close(ended)
			delete(s.running, pid)
		}
	}
}

const (
	pollInterval   = 20 * time.Millisecond
	firstBackoff   = 500 * time.Millisecond
	longestBackoff = 10 * time.Second
	stableAfter    = time.Minute
)

// keep runs the component for ever.
func (s *supervisor) keep(c config.Component) {
	backoff := firstBackoff
	for {
		for _, w := range c.After {
			s.await(c, w)
		}
		start := time.Now()
		ended, err := s.start(c)
		if err != nil {
			s.log.Error("cannot start component", "component", c.Name, "error", err)
		} else {
			s.log.Info("started component", "component", c.Name)
			<-ended
			s.log.Warn("component ended", "component", c.Name, "after", time.Since(start))
		}
		if time.Since(start) > stableAfter {
			backoff = firstBackoff
		}
		time.Sleep(backoff)
		backoff = min(2*backoff, longestBackoff)
	}
}

// start starts the component with its output in its log file.
func (s *supervisor) start(c config.Component) (ended <-chan struct{}, err error) {
	log, err := os.OpenFile(filepath.Join(config.LogDir, c.Name+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	defer null.Close()
	// Held while starting, so that the process cannot be taken in before it is known.
	s.mu.Lock()
	defer s.mu.Unlock()
	process, err := os.StartProcess(c.Args[0], c.Args, &os.ProcAttr{
		Dir:   "/",
		Env:   environment(s.spec),
		Files: []*os.File{null, log, log},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Args[0], err)
	}
	done := make(chan struct{})
	s.running[process.Pid] = done
	return done, process.Release()
}

// environment is that of everything that runs on the node: few variables, and none of the user's.
func environment(spec config.Node) []string {
	return []string{
		"PATH=" + spec.Bin + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"LANG=C.UTF-8",
	}
}

// await blocks until the condition holds.
func (s *supervisor) await(c config.Component, w config.Wait) {
	for check := s.check(w); !check(); {
		time.Sleep(pollInterval)
	}
}

func (s *supervisor) check(w config.Wait) func() bool {
	switch {
	case w.Socket != "":
		return func() bool { return connects("unix", w.Socket) }
	case w.TCP != "":
		return func() bool { return connects("tcp", w.TCP) }
	case w.Ready != "":
		client := readinessClient(w.CA)
		return func() bool { return answers(client, w.Ready) }
	default:
		panic(fmt.Sprintf("a wait for nothing: %+v", w))
	}
}

func connects(network, address string) bool {
	conn, err := net.DialTimeout(network, address, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// readinessClient trusts the authority in the file. The file was written before the node was started; should it be gone,
// nothing is trusted and the wait goes on.
func readinessClient(authorityFile string) *http.Client {
	roots := x509.NewCertPool()
	if data, err := os.ReadFile(authorityFile); err == nil {
		roots.AppendCertsFromPEM(data)
	}
	return &http.Client{
		Timeout:   2 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true},
	}
}

func answers(client *http.Client, url string) bool {
	response, err := client.Get(url)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}
