package ca

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/isthmus-mesh/isthmus/internal/certs"
	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// recheck is how often the informers of this package tell of every object again without a change.
const recheck = 10 * time.Minute

// retryAfter is when Secrets that could not be read, or were no good, are read again.
const retryAfter = 15 * time.Second

// Watch follows the Secrets and swaps a good new authority in until ctx ends. A control plane that runs self-signed takes a
// cacerts up when it appears, with whatever root. One that runs on a cacerts takes another only if they have a root in common:
// else workloads with certificates of either would refuse one another. A bad Secret is logged and changes nothing, and so does a
// deleted one: the authority in use goes on signing.
func (s Secrets) Watch(ctx context.Context, current *Current) error {
	s = s.withDefaults()
	events := make(chan struct{}, 1)
	notify := func() {
		select {
		case events <- struct{}{}:
		default: // one is waiting already, and it will read what is newest
		}
	}
	for _, source := range []Source{PluggedIn, SelfSigned} {
		factory := informers.NewSharedInformerFactoryWithOptions(s.Client, recheck, informers.WithNamespace(s.Namespace),
			informers.WithTweakListOptions(func(o *metav1.ListOptions) {
				o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, string(source)).String()
			}))
		informer := factory.Core().V1().Secrets().Informer()
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { notify() },
			UpdateFunc: func(any, any) { notify() },
			DeleteFunc: func(any) { notify() },
		}); err != nil {
			return err
		}
		factory.Start(ctx.Done())
		defer factory.Shutdown()
	}
	w := watcher{secrets: s, current: current}
	var retry <-chan time.Time // nil unless the last reading failed
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-events:
		case <-retry:
		}
		retry = nil
		if !w.reload(ctx) {
			retry = time.After(retryAfter)
		}
	}
}

// watcher is the state of Watch, owned by its loop.
type watcher struct {
	secrets Secrets
	current *Current
	refused string // the last reason logged, so that a resync does not repeat it
}

// reload reads the Secrets and takes up what is good; false asks for another try without an event.
func (w *watcher) reload(ctx context.Context) (settled bool) {
	log := w.secrets.Log
	authority, source, err := w.secrets.load(ctx)
	switch {
	case err != nil:
		w.keep("certificate authority not changed", err.Error())
		return false
	case authority == nil:
		w.keep("certificate authority not changed", "its secret is gone; put it back before the next restart")
		return true
	case source == SelfSigned && w.current.Source() == PluggedIn:
		w.keep("certificate authority not changed", "secret cacerts is gone; put it back before the next restart")
		return true
	case w.current.Source() == PluggedIn && !overlap(w.current.Roots(), authority.Roots()):
		w.keep("certificate authority not changed", "the root in secret cacerts is not among those in use: put both roots into its "+
			certs.RootFile+" and, once every workload has a new certificate, take the old one out; a restart of istiod takes the secret as it is")
		return true
	}
	w.refused = ""
	before := w.current.Roots()
	if !w.current.Swap(authority, source) {
		return true
	}
	rootChanged := !before.Equal(authority.Roots())
	log.Info("certificate authority changed", "source", source, "root", authority.Roots().Fingerprint(), "rootChanged", rootChanged,
		"notAfter", authority.NotAfter().UTC())
	if rootChanged {
		log.Warn("the mesh root changed: workloads with certificates of the old root fail mutual TLS with new ones until they renew",
			"old", before.Fingerprint(), "new", authority.Roots().Fingerprint())
	}
	return true
}

// overlap says whether two bundles have a root in common.
func overlap(a, b trust.Bundle) bool { return a.Union(b).Len() < a.Len()+b.Len() }

func (w *watcher) keep(event, reason string) {
	if w.refused == reason {
		return
	}
	w.refused = reason
	w.secrets.Log.Error(event, "reason", reason, "root", w.current.Roots().Fingerprint())
}
