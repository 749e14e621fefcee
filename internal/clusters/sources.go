package clusters

import (
	"context"

	networkingv1 "istio.io/client-go/pkg/apis/networking/v1"
	istioclient "istio.io/client-go/pkg/clientset/versioned"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/isthmus-mesh/isthmus/api/label"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// reader is the part of a typed client that reads one kind.
type reader[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// sourceOf reads a kind by a typed client. T is a pointer to the API's type, trim gives nil for what is not needed.
func sourceOf[T runtime.Object, L runtime.Object](client any, kind registry.Kind, example T, r reader[L], trim func(T) registry.Object) source {
	return source{
		name: kind.String(), kind: kind, example: example, client: client,
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return r.List(ctx, o) },
		open: r.Watch,
		trim: func(object any) any {
			t, ok := object.(T)
			if !ok {
				return nil
			}
			if kept := trim(t); kept != nil {
				return kept
			}
			return nil
		},
	}
}

// withFields restricts a source to objects that a field selector matches.
func (src source) withFields(selector fields.Selector) source {
	return src.narrowed(func(o *metav1.ListOptions) { o.FieldSelector = selector.String() })
}

func (src source) narrowed(narrow func(*metav1.ListOptions)) source {
	list, open := src.list, src.open
	src.list = func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		narrow(&o)
		return list(ctx, o)
	}
	src.open = func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		narrow(&o)
		return open(ctx, o)
	}
	return src
}

// sources are what is read of every cluster.
func sources(c kubernetes.Interface) []source {
	const everywhere = metav1.NamespaceAll
	running := fields.AndSelectors(
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodFailed)),
		fields.OneTermNotEqualSelector("status.phase", string(corev1.PodSucceeded)),
	)
	return []source{
		sourceOf(c, registry.KindNamespace, &corev1.Namespace{}, c.CoreV1().Namespaces(), func(n *corev1.Namespace) registry.Object {
			return registry.NamespaceFrom(n)
		}),
		sourceOf(c, registry.KindNode, &corev1.Node{}, c.CoreV1().Nodes(), func(n *corev1.Node) registry.Object {
			return registry.NodeFrom(n)
		}),
		sourceOf(c, registry.KindService, &corev1.Service{}, c.CoreV1().Services(everywhere), func(s *corev1.Service) registry.Object {
			return registry.ServiceFrom(s)
		}),
		sourceOf(c, registry.KindSlice, &discoveryv1.EndpointSlice{}, c.DiscoveryV1().EndpointSlices(everywhere), func(s *discoveryv1.EndpointSlice) registry.Object {
			if slice := registry.SliceFrom(s); slice != nil {
				return slice
			}
			return nil
		}),
		sourceOf(c, registry.KindPod, &corev1.Pod{}, c.CoreV1().Pods(everywhere), func(p *corev1.Pod) registry.Object {
			if pod := registry.PodFrom(p); pod != nil {
				return pod
			}
			return nil
		}).withFields(running),
	}
}

// ownSources are what is read of the own cluster: it alone holds configuration. Istio's API may be installed later.
func ownSources(c kubernetes.Interface, istio istioclient.Interface) []source {
	all := sources(c)
	if istio == nil {
		return all
	}
	gateways := sourceOf(istio, registry.KindGateway, &networkingv1.Gateway{}, istio.NetworkingV1().Gateways(metav1.NamespaceAll), func(g *networkingv1.Gateway) registry.Object {
		return registry.GatewayFrom(&g.ObjectMeta, &g.Spec)
	})
	gateways.optional = true
	return append(all, gateways)
}

// secretSource reads the remote Secrets of a namespace.
func secretSource(c kubernetes.Interface, namespace string) source {
	r := c.CoreV1().Secrets(namespace)
	return source{
		name: "Secret", example: &corev1.Secret{}, client: c,
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return r.List(ctx, o) },
		open: r.Watch,
		trim: func(object any) any {
			s, ok := object.(*corev1.Secret)
			if !ok {
				return nil
			}
			return &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name, CreationTimestamp: s.CreationTimestamp},
				Data:       s.Data,
			}
		},
	}.narrowed(func(o *metav1.ListOptions) { o.LabelSelector = label.MultiCluster + "=true" })
}
