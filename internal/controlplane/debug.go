package controlplane

import (
	"net/http"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/clusters"
	"github.com/isthmus-mesh/isthmus/internal/model"
)

// clusterState is one row of /debug/clusterz: Istio's fields, and what they leave out.
type clusterState struct {
	ID         string     `json:"id"`
	SecretName string     `json:"secretName"`
	SyncStatus string     `json:"syncStatus"` // synced, syncing, timeout, closed
	State      string     `json:"state"`
	Since      time.Time  `json:"since"`
	StaleSince *time.Time `json:"staleSince,omitempty"`
	Reason     string     `json:"reason,omitempty"`
	LastEvent  *time.Time `json:"lastEvent,omitempty"`
	InUse      bool       `json:"inUse"`
}

func (d *istiod) debugHandler() http.Handler {
	mux := http.NewServeMux()
	d.xds.RegisterDebug(mux)
	mux.HandleFunc("GET /debug/clusterz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, clusterStates(d.clusters.Status()))
	})
	mux.HandleFunc("GET /debug/problems", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, problemRows(append(d.settings.trouble(), d.pub.trouble()...)))
	})
	mux.HandleFunc("GET /debug/endpointz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, endpointRows(d.pub.snapshot()))
	})
	return mux
}

func clusterStates(all []clusters.Status) []clusterState {
	rows := make([]clusterState, 0, len(all))
	for _, s := range all {
		row := clusterState{
			ID: string(s.Cluster), State: s.State.String(), SyncStatus: syncStatus(s), Since: s.Since, Reason: s.Reason, InUse: s.InUse,
		}
		if !s.Own {
			row.SecretName = s.Secret.String()
		}
		if !s.StaleSince.IsZero() {
			row.StaleSince = &s.StaleSince
		}
		if !s.LastEvent.IsZero() {
			row.LastEvent = &s.LastEvent
		}
		rows = append(rows, row)
	}
	return rows
}

// syncStatus is the state in Istio's words, for tools that know no others.
func syncStatus(s clusters.Status) string {
	switch s.State {
	case clusters.Synced:
		return "synced"
	case clusters.Stale:
		return "timeout"
	case clusters.Refused:
		return "closed"
	case clusters.Connecting:
		return "syncing"
	default:
		return s.State.String()
	}
}

// problemRow is one row of /debug/problems.
type problemRow struct {
	Object string `json:"object"`
	Text   string `json:"text"`
}

func problemRows(problems []model.Problem) []problemRow {
	rows := make([]problemRow, 0, len(problems))
	for _, p := range problems {
		rows = append(rows, problemRow{p.Object.String(), p.Text})
	}
	return rows
}

// endpointRow is one row of /debug/endpointz: how many endpoints a service's port has in each cluster.
type endpointRow struct {
	Service  string         `json:"service"`
	Port     uint16         `json:"port"`
	Clusters map[string]int `json:"clusters"`
}

func endpointRows(s *model.Snapshot) []endpointRow {
	rows := []endpointRow{}
	if s == nil {
		return rows
	}
	for _, ns := range s.Namespaces {
		for h, b := range ns.Backends {
			for port, eps := range b.Ports {
				row := endpointRow{Service: string(h), Port: port, Clusters: map[string]int{}}
				for _, ep := range eps.Items {
					row.Clusters[string(ep.Cluster)]++
				}
				rows = append(rows, row)
			}
		}
	}
	return rows
}
