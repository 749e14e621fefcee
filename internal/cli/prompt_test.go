package cli

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// silentTerminal is a standard input at which nobody types. Its reads tell that they have begun.
type silentTerminal struct {
	asked chan struct{}
	io.Reader
}

func newSilentTerminal(t *testing.T) silentTerminal {
	in, typist := io.Pipe()
	t.Cleanup(func() { _ = typist.Close() })
	return silentTerminal{asked: make(chan struct{}, 1), Reader: in}
}

func (s silentTerminal) Read(p []byte) (int, error) {
	s.asked <- struct{}{}
	return s.Reader.Read(p)
}

func TestAnInterruptAnswersNo(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	terminal := newSilentTerminal(t)
	var out bytes.Buffer
	answer := make(chan bool)
	go func() { answer <- confirm(ctx, Streams{In: terminal, Out: &out}, "Proceed? ") }()
	<-terminal.asked
	interrupt()
	if <-answer || out.String() != "Proceed? \n" {
		t.Errorf("the answer is yes, or the line was left open: %q", out.String())
	}
}

func TestAnInterruptEndsTheWaitForADocument(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	terminal := newSilentTerminal(t)
	root := New("istioctl", Streams{In: terminal, Out: io.Discard, Err: io.Discard})
	root.SetArgs([]string{"manifest", "generate", "-f", "-"})
	failed := make(chan error)
	go func() { failed <- root.ExecuteContext(ctx) }()
	<-terminal.asked
	interrupt()
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "read standard input: interrupted") {
		t.Errorf("error %v", err)
	}
}

func TestAnInterruptEndsTheWaitForACluster(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		interrupt()
		<-r.Context().Done() // as a host that never answers
	}))
	t.Cleanup(server.Close)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := `{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c}}], clusters: [{name: c, cluster: {server: "` +
		server.URL + `"}}]}`
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	root := New("istioctl", Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard})
	root.SetArgs([]string{"install", "-y", "--kubeconfig", kubeconfig})
	if err := root.ExecuteContext(ctx); err == nil || !strings.Contains(err.Error(), "reach the cluster at "+server.URL+": ") ||
		!strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("error %v", err)
	}
}
