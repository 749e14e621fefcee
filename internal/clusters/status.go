package clusters

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// State is how much a cluster's objects can be trusted to be those of now.
type State uint8

// The states.
const (
	Connecting State = iota + 1 // not read yet
	Synced                      // read, and every watch is open
	Stale                       // was read, and cannot be reached now; what is known stays in use
	Refused                     // the Secret cannot be used; what was known by a credential before stays in use
)

// String gives the state's name, as the metric istiod_remote_cluster_sync_status has it.
func (s State) String() string {
	switch s {
	case Connecting:
		return "syncing"
	case Synced:
		return "synced"
	case Stale:
		return "stale"
	case Refused:
		return "refused"
	default:
		return fmt.Sprintf("State(%d)", uint8(s))
	}
}

// Status is what is known about one cluster, or about an entry of a Secret that is refused.
type Status struct {
	Cluster    model.Cluster        // empty when a Secret names none
	Secret     types.NamespacedName // zero for the own cluster
	Own        bool
	State      State
	Since      time.Time             // when the state began
	StaleSince time.Time             // when the objects in use began to age; zero when they are fresh, or none are
	Reason     string                // why it is not synced, or why a new credential is not in use; may be empty
	LastEvent  time.Time             // when the API server last told of objects; zero when it never has
	InUse      bool                  // its objects are in updates
	Objects    map[registry.Kind]int // how many objects are in use; nil when none are
}

// Status gives all clusters, the own one first, then by name; behind them what is refused.
func (s *Set) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := Status{Cluster: s.options.Cluster, Own: true, State: Connecting, Since: s.ownSince}
	if s.own != nil {
		if _, synced := s.own.look(); synced {
			own.judge(s.own)
			own.count(s.own)
		} else if f := s.own.oldestFault(); f != nil {
			own.Reason = f.err.Error()
		}
	}
	all := []Status{own}
	for _, r := range s.remotes {
		st := r.status()
		if r.current != nil {
			st.count(r.current)
		}
		all = append(all, st)
	}
	slices.SortFunc(all[1:], func(a, b Status) int { return cmp.Compare(a.Cluster, b.Cluster) })
	return append(all, s.refused...)
}

// judge says how fresh a generation is that is in use.
func (st *Status) judge(g *generation) {
	st.State, st.InUse = Synced, true
	if f := g.oldestFault(); f != nil {
		st.State, st.Since, st.StaleSince, st.Reason = Stale, f.since, f.since, f.err.Error()
	}
}

// count says what a generation that is in use has.
func (st *Status) count(g *generation) {
	objects, _ := g.look()
	st.Objects = make(map[registry.Kind]int)
	for kind := registry.KindNamespace; kind <= registry.KindCredential; kind++ {
		st.Objects[kind] = objects.Count(kind)
	}
	g.mu.Lock()
	st.LastEvent = g.lastEvent
	g.mu.Unlock()
}
