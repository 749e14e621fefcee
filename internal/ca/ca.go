// Package ca is the certificate authority of a mesh's control plane: it finds or makes the authority of its cluster, signs
// workloads' certificates over gRPC, serves istiod's own TLS ports, and hands the roots to every namespace. The control plane
// assembles it. It never signs for an identity that the caller's credential did not prove, and never replaces an authority that
// a user plugged in.
package ca

import (
	"sync"

	"github.com/isthmus-mesh/isthmus/internal/certs"
	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// Current holds the authority that signs now. It can be swapped while others read it; all methods are safe for concurrent use.
type Current struct {
	mu        sync.Mutex // guards what follows
	authority *certs.Authority
	source    Source
	seen      trust.Bundle  // the roots of every authority since the start
	changed   chan struct{} // closed at the next swap
}

// Source is where an authority comes from.
type Source string

// The sources, by the Secret that holds them.
const (
	PluggedIn  Source = "cacerts"         // given by the user
	SelfSigned Source = "istio-ca-secret" // made by a control plane of this cluster
)

// NewCurrent returns a holder of this authority.
func NewCurrent(authority *certs.Authority, source Source) *Current {
	return &Current{authority: authority, source: source, seen: authority.Roots(), changed: make(chan struct{})}
}

// Authority is the one that signs now.
func (c *Current) Authority() *certs.Authority {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.authority
}

// Source is where the current authority comes from.
func (c *Current) Source() Source {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.source
}

// Roots are what peers must trust now: what goes to workloads, into ConfigMaps and into caBundle fields.
func (c *Current) Roots() trust.Bundle { return c.Authority().Roots() }

// ClientRoots are the roots that client certificates may come from: the current ones and those of earlier authorities of this
// process. A workload that still has a certificate of the old root can so connect and ask for a new one.
func (c *Current) ClientRoots() trust.Bundle {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// Changed returns a channel that is closed when the authority is swapped the next time.
func (c *Current) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// Swap puts another authority in place. One equal to the current is no change.
func (c *Current) Swap(authority *certs.Authority, source Source) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.source = source
	if c.authority.Equal(authority) {
		return false
	}
	c.authority = authority
	c.seen = c.seen.Union(authority.Roots())
	close(c.changed)
	c.changed = make(chan struct{})
	return true
}
