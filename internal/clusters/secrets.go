package clusters

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/remotesecret"
)

// watchSecrets keeps s.secrets what the API server says. When it cannot be reached they stay.
func (s *Set) watchSecrets(ctx context.Context) {
	secretSource(s.options.Client, s.options.Namespace).watch(ctx, feed{
		replace: func(objects []any) {
			now := make(map[types.NamespacedName]*corev1.Secret, len(objects))
			for _, object := range objects {
				secret := object.(*corev1.Secret)
				now[nameOf(secret)] = secret
			}
			s.changeSecrets(func() {
				s.secretsRead = true
				for name := range s.secrets {
					if now[name] == nil {
						s.dropSecret(name)
					}
				}
				for _, secret := range now {
					s.putSecret(secret)
				}
			})
		},
		put: func(object any) { s.changeSecrets(func() { s.putSecret(object.(*corev1.Secret)) }) },
		drop: func(namespace, name string) {
			s.changeSecrets(func() { s.dropSecret(types.NamespacedName{Namespace: namespace, Name: name}) })
		},
		alive: func() {},
		fault: func(err error) { s.own.setFault("Secret", err) },
	})
}

func nameOf(secret *corev1.Secret) types.NamespacedName {
	return types.NamespacedName{Namespace: secret.Namespace, Name: secret.Name}
}

func (s *Set) changeSecrets(change func()) {
	s.mu.Lock()
	change()
	s.secretsChanged = true
	s.mu.Unlock()
	s.look()
}

func (s *Set) putSecret(secret *corev1.Secret) {
	was := s.secrets[nameOf(secret)]
	switch {
	case was == nil:
		s.metrics.secretEvents.WithLabelValues("add").Inc()
	case !reflect.DeepEqual(was, secret):
		s.metrics.secretEvents.WithLabelValues("update").Inc()
	}
	s.secrets[nameOf(secret)] = secret
}

func (s *Set) dropSecret(name types.NamespacedName) {
	if s.secrets[name] != nil {
		s.metrics.secretEvents.WithLabelValues("delete").Inc()
		delete(s.secrets, name)
	}
}

// claim is what a Secret says about one cluster.
type claim struct {
	secret  types.NamespacedName
	remote  remotesecret.Remote // zero when problem is set
	problem string
}

// claims gives the Secret that decides about each remote cluster: the oldest that names it. What the others say, and what
// names no cluster, is refused.
func (s *Set) claims() (claims map[model.Cluster]claim, refused []Status) {
	claims = make(map[model.Cluster]claim)
	secrets := slices.SortedFunc(maps.Values(s.secrets), func(a, b *corev1.Secret) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for _, secret := range secrets {
		refuse := func(cluster, reason string) {
			refused = append(refused, Status{
				Cluster: model.Cluster(cluster), Secret: nameOf(secret), State: Refused, Reason: reason, Since: secret.CreationTimestamp.Time,
			})
		}
		take := func(cluster string, c claim) {
			name := model.Cluster(cluster)
			if name == s.options.Cluster {
				return
			}
			if first, taken := claims[name]; taken {
				refuse(cluster, fmt.Sprintf("Secret %s names this cluster too and is older: delete one of them", first.secret))
				return
			}
			c.secret = nameOf(secret)
			claims[name] = c
		}
		remotes, problems := s.options.Parse(secret)
		for _, r := range remotes {
			take(r.Cluster, claim{remote: r})
		}
		for _, p := range problems {
			if p.Cluster == "" {
				refuse("", p.Text)
			} else {
				take(p.Cluster, claim{problem: p.Text})
			}
		}
	}
	return claims, refused
}
