package check

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/isthmus-mesh/isthmus/internal/remotesecret"
)

// joining is what cluster from has to read cluster to: the Secret, and how it fares.
type joining struct {
	from, to *facts
	secret   *corev1.Secret // nil when there is none
	remote   remotesecret.Remote
	problem  string // why the Secret's entry cannot be used; empty when it can
}

// join finds the Secret of a pair.
func join(from, to *facts) joining {
	j := joining{from: from, to: to}
	for i := range from.secrets {
		secret := &from.secrets[i]
		if _, names := secret.Data[to.name()]; !names {
			continue
		}
		j.secret = secret
		remotes, problems := remotesecret.Parse(secret)
		for _, r := range remotes {
			if r.Cluster == to.name() {
				j.remote = r
				return j
			}
		}
		for _, p := range problems {
			if p.Cluster == to.name() {
				j.problem = p.Text
			}
		}
	}
	return j
}

// remake is the command that makes the Secret anew.
func (j joining) remake() string {
	return fmt.Sprintf("istioctl create-remote-secret --context=%s --name=%s | kubectl apply -f - --context=%s",
		j.to.cluster.Context, j.to.name(), j.from.cluster.Context)
}

// judgeSecret says whether a cluster has what it needs to read another.
func (j joining) judgeSecret() Verdict {
	switch {
	case j.secret == nil:
		return failed(j.remake(), "no remote Secret for %s in namespace %s of %s%s", j.to.name(), j.from.namespace, j.from.name(), j.others())
	case j.problem != "":
		return failed(j.remake(), "Secret %s cannot be used: %s", j.secret.Name, j.problem)
	}
	return ok("Secret %s", j.secret.Name)
}

// others says which clusters are named instead, since a wrong name is the usual slip.
func (j joining) others() string {
	var names []string
	for _, s := range j.from.secrets {
		for name := range s.Data {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return "; there are Secrets for " + strings.Join(names, ", ")
}

// try asks an API server, with the credential of a remote Secret, for what istiod reads with it.
func try(ctx context.Context, kubeconfig []byte) (server string, err error) {
	config, err := remotesecret.RESTConfig(kubeconfig)
	if err != nil {
		return "", err
	}
	config.Timeout = 5 * time.Second
	config.WarningHandler = rest.NoWarnings{}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return config.Host, err
	}
	_, err = client.CoreV1().Services("").List(ctx, metav1.ListOptions{Limit: 1})
	return config.Host, err
}

// judgeCredential says what became of a try from here. Clusters may reach each other at addresses that this machine cannot
// reach, so then it counts whether the other's control plane gets through.
func (j joining) judgeCredential(server string, err error, synced bool) Verdict {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	name := j.to.name()
	switch {
	case err == nil:
		return ok("%s takes the credential", server)
	case apierrors.IsUnauthorized(err):
		return failed(j.remake(), "token wrong: the API server of %s at %s answers 401 to it: it was revoked, or is another cluster's", name, server)
	case apierrors.IsForbidden(err):
		return failed(fmt.Sprintf("isthmus install --context=%s -f FILE; it makes the rights of istio-reader-service-account", j.to.cluster.Context),
			"the API server of %s at %s knows the token and forbids reading: %s", name, server, oneLine(err.Error()))
	case errors.As(err, &unknown):
		return failed(j.remake(), "the certificate of %s is not from the authority in the Secret: the cluster was made anew, or a proxy stands between",
			server)
	case errors.As(err, &host), errors.As(err, &invalid):
		return failed(j.remake()+"; with --tls-server-name or --server where the name differs", "TLS with %s: %v", server, err)
	case synced:
		return note("%s cannot be reached from this machine, but from %s it can", server, j.from.name())
	}
	return failed(fmt.Sprintf("make %s reachable from %s, or give another address: %s", server, j.from.name(),
		strings.Replace(j.remake(), " |", " --server=https://ADDRESS |", 1)),
		"%s cannot be reached from here: %s", server, oneLine(err.Error()))
}

// sight is how one istiod of cluster from sees cluster to.
type sight struct {
	pod   string
	known bool
	peer  PeerState
	err   error // why the istiod did not answer
}

// look asks every istiod of from.
func (j joining) look(ctx context.Context) []sight {
	var all []sight
	for _, i := range j.from.istiods {
		if !i.running {
			continue
		}
		s := sight{pod: i.pod}
		states, err := peers(ctx, j.from.cluster, j.from.namespace, i.pod)
		s.err = err
		for _, p := range states {
			if p.Cluster == j.to.name() {
				s.peer, s.known = p, true
			}
		}
		all = append(all, s)
	}
	return all
}

// settled reports whether waiting would change nothing.
func settled(all []sight) bool {
	return !slices.ContainsFunc(all, func(s sight) bool {
		return s.err == nil && (!s.known || s.peer.Status == "syncing" && s.peer.Reason == "")
	})
}

func synced(all []sight) bool {
	return len(all) > 0 && !slices.ContainsFunc(all, func(s sight) bool { return s.err != nil || s.peer.Status != "synced" })
}

// judgeDiscovery says whether the control plane of from follows to.
func (j joining) judgeDiscovery(all []sight, now time.Time) Verdict {
	if len(all) == 0 {
		return failed("see the row control plane of "+j.from.name(), "control plane down: no istiod of %s runs", j.from.name())
	}
	oldest := time.Duration(0)
	for _, s := range all {
		switch {
		case s.err != nil:
			return failed(j.from.kubectl("logs -n %s %s --tail=20", j.from.namespace, s.pod), "istiod %s does not answer: %s", s.pod, oneLine(s.err.Error()))
		case !s.known && j.secret == nil:
			return failed(j.remake(), "istiod %s does not know %s, since there is no remote Secret for it", s.pod, j.to.name())
		case !s.known:
			return failed(j.from.kubectl("logs -n %s %s --tail=20", j.from.namespace, s.pod), "istiod %s does not know %s although there is a Secret", s.pod, j.to.name())
		case s.peer.Status != "synced":
			return failed(j.mend(s.peer), "istiod %s: %s is %s%s", s.pod, j.to.name(), state(s.peer), because(s.peer, now))
		}
		if s.peer.LastEvent != nil {
			oldest = max(oldest, now.Sub(*s.peer.LastEvent))
		}
	}
	if oldest == 0 {
		return ok("synced")
	}
	return ok("synced, last event %s ago", age(oldest))
}

// mend is what helps against a state that is not synced.
func (j joining) mend(p PeerState) string {
	if state(p) == "refused" || j.problem != "" {
		return j.remake()
	}
	server := "the API server of " + j.to.name()
	if config, err := remotesecret.RESTConfig(j.remote.Kubeconfig); err == nil {
		server = config.Host
	}
	return fmt.Sprintf("let the pods of %s reach %s, or give an address that they reach: %s", j.from.name(), server,
		strings.Replace(j.remake(), " |", " --server=https://ADDRESS |", 1))
}

// state is our word, where the istiod has one.
func state(p PeerState) string {
	if p.State != "" {
		return p.State
	}
	return p.Status
}

func because(p PeerState, now time.Time) string {
	var text string
	since := p.Since
	if p.StaleSince != nil {
		since = *p.StaleSince
	}
	if !since.IsZero() {
		text = " for " + age(now.Sub(since))
	}
	if p.Reason != "" {
		text += ": " + oneLine(p.Reason)
	}
	return text
}

// age is a duration as people say it.
func age(d time.Duration) string { return max(d, 0).Round(time.Second).String() }
