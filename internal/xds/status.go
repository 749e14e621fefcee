package xds

import (
	"cmp"
	"slices"
	"time"
)

// ProxyStatus is what the server knows of one stream.
type ProxyStatus struct {
	Connection  uint64
	Name        string // POD.NAMESPACE
	Node        string // the id that the proxy gave itself
	Kind        string // sidecar or router
	Cluster     string
	Namespace   string
	Address     string // the stream's other end
	Version     string // of the agent's release
	Protocol    string // delta or sotw
	ConnectedAt time.Time
	Types       []TypeStatus // in the order of a push
}

// Synced says whether the proxy accepted the last push of every type.
func (p ProxyStatus) Synced() bool {
	return !slices.ContainsFunc(p.Types, func(t TypeStatus) bool { return t.State() == Stale || t.State() == Refused })
}

// TypeStatus is how one type of one stream stands. Sent and Acked are nonces.
type TypeStatus struct {
	TypeURL         string
	Sent, Acked     string
	SentAt, AckedAt time.Time
	Error           string   // why the proxy refused the last push; empty if it did not
	Rejected        []string // the resources in the refused push
}

// State is how far a proxy has followed.
type State string

// The states, in the words of Istio's proxy-status.
const (
	Synced  State = "SYNCED"
	NotSent State = "NOT_SENT"
	Stale   State = "STALE"
	Refused State = "ERROR"
)

// State compares what was sent with what was accepted.
func (t TypeStatus) State() State {
	switch {
	case t.Error != "":
		return Refused
	case t.Sent == "":
		return NotSent
	case t.Sent == t.Acked:
		return Synced
	default:
		return Stale
	}
}

// Proxies gives the state of every stream that asked for resources, ordered by name. Streams of the debug types alone
// are left out.
func (s *Server) Proxies() []ProxyStatus {
	var all []ProxyStatus
	for _, c := range s.connections() {
		if st := c.status(); len(st.Types) > 0 {
			all = append(all, st)
		}
	}
	slices.SortFunc(all, func(a, b ProxyStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Connection, b.Connection))
	})
	return all
}

func (s *Server) connections() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	return all
}

func (c *conn) status() ProxyStatus {
	st := ProxyStatus{
		Connection: c.id, Name: c.name(), Node: c.nodeID, Kind: c.kind(),
		Cluster: string(c.proxy.Cluster), Namespace: c.proxy.Namespace,
		Address: c.address, Version: c.proxy.Version, Protocol: "sotw", ConnectedAt: c.connected,
	}
	if c.incremental {
		st.Protocol = "delta"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.watches {
		st.Types = append(st.Types, TypeStatus{
			TypeURL: w.typeURL, Sent: w.nonce, Acked: w.acked, SentAt: w.sentAt, AckedAt: w.ackedAt,
			Error: w.refused, Rejected: slices.Clone(w.rejected),
		})
	}
	return st
}
