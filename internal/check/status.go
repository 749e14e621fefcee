package check

import (
	"context"
	"slices"
	"strings"
	"time"
)

// RemoteCluster is one row of remote-clusters: how one istiod pod sees one cluster.
type RemoteCluster struct {
	PeerState
	Istiod   string `json:"istiod"`
	Revision string `json:"revision"`
}

// RemoteClusters asks every running istiod of a cluster which clusters it knows. What one pod does not answer is in the error;
// the rows of the others are there all the same.
func RemoteClusters(ctx context.Context, c Cluster, namespace, revision string) ([]RemoteCluster, error) {
	var rows []RemoteCluster
	err := eachIstiod(ctx, c, namespace, revision, func(i istiod) error {
		states, err := peers(ctx, c, namespace, i.pod)
		for _, s := range states {
			rows = append(rows, RemoteCluster{PeerState: s, Istiod: i.pod, Revision: i.revision})
		}
		return err
	})
	return rows, err
}

// ProxyState is one proxy of an istiod, as /debug/syncz has it.
type ProxyState struct {
	Proxy     string               `json:"proxy"` // POD.NAMESPACE
	Cluster   string               `json:"cluster_id"`
	Kind      string               `json:"proxy_type"`
	Version   string               `json:"istio_version"`
	Resources map[string]TypeState `json:"resources"` // by type URL
	Istiod    string               `json:"istiod"`
}

// TypeState is how far a proxy has followed one type. Sent and Acked are nonces.
type TypeState struct {
	Sent      string     `json:"sent"`
	Acked     string     `json:"acked"`
	SentTime  *time.Time `json:"sentTime"`
	LastError string     `json:"lastError,omitempty"` // why the proxy refused the last push
}

// State is the type's state in the words of Istio's proxy-status.
func (t TypeState) State() string {
	switch {
	case t.LastError != "":
		return "ERROR"
	case t.Sent == "":
		return "NOT SENT"
	case t.Sent == t.Acked:
		return "SYNCED"
	default:
		return "STALE"
	}
}

// Proxies asks every running istiod of a cluster for its proxies, ordered by name. What one pod does not answer is in the error.
func Proxies(ctx context.Context, c Cluster, namespace, revision string) ([]ProxyState, error) {
	var rows []ProxyState
	err := eachIstiod(ctx, c, namespace, revision, func(i istiod) error {
		states, err := ask[[]ProxyState](ctx, c, namespace, i.pod, "/debug/syncz")
		for _, s := range states {
			s.Istiod = i.pod
			rows = append(rows, s)
		}
		return err
	})
	slices.SortStableFunc(rows, func(a, b ProxyState) int { return strings.Compare(a.Proxy, b.Proxy) })
	return rows, err
}
