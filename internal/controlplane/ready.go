package controlplane

import (
	"net/http"
	"slices"
	"strings"
	"sync"
)

// readiness is what has to come true before the process takes traffic. No remote cluster is among it.
type readiness struct {
	mu      sync.Mutex // guards missing
	missing []string
}

// The things that readiness waits for.
const (
	ownCluster = "objects of the own cluster"
	injector   = "configuration of the injector"
)

func newReadiness(what ...string) *readiness { return &readiness{missing: what} }

// done says that something has come true. It never becomes false again.
func (r *readiness) done(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.missing = slices.DeleteFunc(r.missing, func(m string) bool { return m == what })
}

// ServeHTTP answers /ready: 200, or 503 with what is waited for.
func (r *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	missing := strings.Join(r.missing, ", ")
	r.mu.Unlock()
	if missing != "" {
		http.Error(w, "waiting for: "+missing, http.StatusServiceUnavailable)
	}
}
