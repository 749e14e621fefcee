package clusters

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// remote is a cluster that a Secret names.
type remote struct {
	cluster model.Cluster
	secret  types.NamespacedName
	current *generation // whose objects are in use; nil until the first is synced
	next    *generation // has the Secret's credential and is not synced yet; nil when current has it, or it cannot be used
	refused string      // why what the Secret holds cannot be used; empty when it can

	state State // as observed last, and since when
	since time.Time
}

// reconcileRemotes makes the remotes what the Secrets say. s.mu is held.
func (s *Set) reconcileRemotes(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	if s.secretsChanged {
		s.secretsChanged = false
		s.applyClaims(ctx)
	}
	for _, r := range s.remotes {
		r.promote()
		s.observe(r)
	}
}

func (s *Set) applyClaims(ctx context.Context) {
	var claims map[model.Cluster]claim
	claims, s.refused = s.claims()
	for name, r := range s.remotes {
		if _, stays := claims[name]; !stays {
			r.current.stop()
			r.next.stop()
			delete(s.remotes, name)
			s.options.Log.Info("cluster has left", "cluster", name, "secret", r.secret.String())
		}
	}
	for name, c := range claims {
		r := s.remotes[name]
		if r == nil {
			r = &remote{cluster: name}
			s.remotes[name] = r
		}
		s.apply(ctx, r, c)
	}
}

// apply gives a remote the credential of its Secret. The one that works stays in use until the new one has read everything.
func (s *Set) apply(ctx context.Context, r *remote, c claim) {
	r.secret, r.refused = c.secret, c.problem
	if c.problem == "" && r.next != nil && r.next.hash == c.remote.Hash {
		return
	}
	r.next.stop()
	r.next = nil
	if c.problem != "" || r.current != nil && r.current.hash == c.remote.Hash {
		return
	}
	client, err := s.options.Open(c.remote.Kubeconfig)
	if err != nil {
		r.refused = err.Error()
		return
	}
	r.next = newGeneration(r.cluster, client, c.remote.Hash, s.look)
	s.start(ctx, r.next, sources(client.Kubernetes))
}

// promote puts the next generation in place of the current one, whole, once it has read everything.
func (r *remote) promote() {
	if r.next == nil {
		return
	}
	if _, synced := r.next.look(); !synced {
		return
	}
	if r.current != nil {
		r.next.succeed(r.current)
		r.current.stop()
	}
	r.current, r.next = r.next, nil
}

// observe notes and logs a change of a remote's state.
func (s *Set) observe(r *remote) {
	status := r.status()
	if status.State == r.state {
		return
	}
	r.state, r.since = status.State, time.Now()
	s.options.Log.Info("cluster is "+status.State.String(), "cluster", r.cluster, "secret", r.secret.String(), "reason", status.Reason)
}

// status works out the state of a remote.
func (r *remote) status() Status {
	st := Status{Cluster: r.cluster, Secret: r.secret, Since: r.since, State: Connecting}
	if r.current != nil {
		st.judge(r.current)
	}
	reason, rejected := r.refused, r.refused != ""
	if r.next != nil {
		if f := r.next.oldestFault(); f != nil {
			reason, rejected = f.err.Error(), isRefusal(f.err)
		}
	}
	switch {
	case reason == "":
	case r.current == nil:
		st.Reason = reason
	case st.Reason == "":
		st.Reason = fmt.Sprintf("the Secret's new credential does not work and the one before stays in use: %s", reason)
	default:
		st.Reason += fmt.Sprintf("; and the Secret's new credential does not work either: %s", reason)
	}
	if rejected {
		st.State, st.Since = Refused, r.since
	}
	return st
}

// isRefusal says whether an API server, or the client by itself, turned a credential down, so that waiting does not help.
func isRefusal(err error) bool {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	return apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err) ||
		errors.As(err, &unknown) || errors.As(err, &host) || errors.As(err, &invalid)
}
