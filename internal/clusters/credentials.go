package clusters

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"

	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// credentialWatch follows the Secrets of one namespace that gateways there need, and keeps no others. What it sees goes into
// the objects of the own cluster.
type credentialWatch struct {
	namespace string
	names     []string // sorted
	own       *generation
	cancel    context.CancelFunc
	stopped   bool // nothing that it still sees counts; guarded by own.mu
}

// followCredentials makes the watches of credentials what the gateways of all clusters need. s.mu is held.
func (s *Set) followCredentials(ctx context.Context, clusters []*registry.Objects) {
	wanted := registry.NextWanted(s.wanted, s.options.Cluster, clusters)
	if wanted == s.wanted || ctx.Err() != nil {
		return
	}
	s.wanted = wanted
	secrets := wanted.Secrets()
	for namespace, w := range s.credentials {
		if !slices.Equal(w.names, secrets[namespace]) {
			w.stop(secrets[namespace])
			delete(s.credentials, namespace)
		}
	}
	for namespace, names := range secrets {
		if s.credentials[namespace] != nil {
			continue
		}
		within, cancel := context.WithCancel(ctx)
		w := &credentialWatch{namespace: namespace, names: names, own: s.own, cancel: cancel}
		s.credentials[namespace] = w
		s.running.Go(func() {
			credentialSource(s.options.Client, namespace, names).watch(within, w.feed())
			w.own.setFault(w.source(), nil)
		})
	}
}

// credentialSource reads those Secrets of a namespace that have one of the names.
func credentialSource(c kubernetes.Interface, namespace string, names []string) source {
	return sourceOf(c, registry.KindCredential, &corev1.Secret{}, c.CoreV1().Secrets(namespace), func(s *corev1.Secret) registry.Object {
		if _, named := slices.BinarySearch(names, s.Name); named {
			return registry.CredentialFrom(s)
		}
		return nil
	})
}

// stop ends the watch, without waiting for it. Of the objects those stay that the next one wants.
func (w *credentialWatch) stop(stay []string) {
	w.cancel()
	var gone []registry.Key
	for _, name := range w.names {
		if !slices.Contains(stay, name) {
			gone = append(gone, w.key(name))
		}
	}
	w.own.update(func() {
		w.stopped = true
		w.own.objects = w.own.objects.Without(gone...)
	})
}

func (w *credentialWatch) key(name string) registry.Key {
	return registry.Key{Kind: registry.KindCredential, Namespace: w.namespace, Name: name}
}

// source names the watch among the sources of the own cluster: apart from the one that it follows, too.
func (w *credentialWatch) source() string {
	return "Secret " + w.namespace + "/" + strings.Join(w.names, ",")
}

// feed keeps one object for each name, which says also that there is no such Secret.
func (w *credentialWatch) feed() feed {
	absent := func(name string) registry.Object { return &registry.Credential{Namespace: w.namespace, Name: name} }
	return feed{
		replace: func(objects []any) {
			there := make(map[string]registry.Object, len(objects))
			for _, object := range objects {
				credential := object.(*registry.Credential)
				there[credential.Name] = credential
			}
			w.put(func(name string) registry.Object {
				if object := there[name]; object != nil {
					return object
				}
				return absent(name)
			}, w.names...)
		},
		put: func(object any) {
			credential := object.(*registry.Credential)
			w.put(func(string) registry.Object { return credential }, credential.Name)
		},
		drop: func(_, name string) {
			if slices.Contains(w.names, name) {
				w.put(absent, name)
			}
		},
		alive: func() {},
		fault: w.fault,
	}
}

// put takes in what is known of Secrets, unless the watch has been stopped meanwhile.
func (w *credentialWatch) put(of func(name string) registry.Object, names ...string) {
	w.own.update(func() {
		if w.stopped {
			return
		}
		for _, name := range names {
			w.own.objects = w.own.objects.With(of(name))
		}
	})
}

// fault notes why the Secrets cannot be read. That istiod may not is no fault of the cluster, so that the rest of the mesh
// is as fresh as ever: it stands beside what was read before, which stays in use.
func (w *credentialWatch) fault(err error) {
	if !apierrors.IsForbidden(err) {
		w.own.setFault(w.source(), err)
		return
	}
	w.own.setFault(w.source(), nil)
	why := fmt.Sprintf("istiod may not read Secrets of namespace %s, where gateways run: install them there by the gateway chart "+
		"with rbac.enabled=true, or bind istiod's service account to a Role with get, list and watch of secrets (%v)", w.namespace, err)
	w.put(func(name string) registry.Object {
		unread := registry.Credential{Namespace: w.namespace, Name: name}
		if before := w.own.objects.Credential(w.namespace, name); before != nil {
			unread = *before
		}
		unread.Unread = why
		return &unread
	}, w.names...)
}
