package node

import (
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/isthmus-mesh/isthmus/lab/internal/config"
)

func TestASupervisorRefusesToRunOutsideOfItsNamespaces(t *testing.T) {
	t.Parallel()
	file := SpecFile(t.TempDir())
	if err := os.WriteFile(file, []byte(`{"node":{"name":"cluster1-node1"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Run(file); err == nil || !strings.Contains(err.Error(), "isthmus lab up") {
		t.Errorf("got %v", err)
	}
}

func TestWaitsHoldWhenWhatTheyNameIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ready := true
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !ready {
			http.Error(w, "not yet", http.StatusForbidden)
		}
	}))
	defer server.Close()
	authority := filepath.Join(dir, "ca.crt")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(authority, block, 0o600); err != nil {
		t.Fatal(err)
	}
	address := server.Listener.Addr().String()
	s := newSupervisor(config.Node{})
	cases := []struct {
		name string
		wait config.Wait
		want bool
	}{
		{"socket", config.Wait{Socket: socket}, true},
		{"no socket", config.Wait{Socket: socket + "x"}, false},
		{"port", config.Wait{TCP: address}, true},
		{"ready", config.Wait{Ready: server.URL, CA: authority}, true},
		{"ready, but not of this authority", config.Wait{Ready: server.URL, CA: socket + "x"}, false},
	}
	for _, c := range cases {
		if got := s.check(c.wait)(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	ready = false
	if s.check(config.Wait{Ready: server.URL, CA: authority})() {
		t.Error("a server that refuses counts as ready")
	}
}
