package synthetic

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/isthmus-mesh/isthmus/api/label"
)

// Writer writes to one cluster of a mesh.
type Writer struct {
	sizes   Sizes
	cluster int
	client  kubernetes.Interface
}

// NewWriter gives a writer to cluster number 1 or 2.
func NewWriter(sizes Sizes, cluster int, config *rest.Config) (*Writer, error) {
	config = rest.CopyConfig(config)
	config.ContentType = "application/vnd.kubernetes.protobuf"
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Writer{sizes, cluster, client}, nil
}

// Client is the client of the cluster.
func (w *Writer) Client() kubernetes.Interface { return w.client }

// atOnce is how many requests a writer has open.
const atOnce = 32

// each calls write for 0 to n-1, many at a time, and gives the first error.
func each(ctx context.Context, n int, write func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range n {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return write(ctx, i)
		})
	}
	return group.Wait()
}

// All writes the whole mesh, as far as it is in this cluster.
func (w *Writer) All(ctx context.Context) error {
	namespaces := func(ctx context.Context, i int) error {
		return w.namespace(ctx, w.sizes.Namespace(i), map[string]string{label.Injection: "enabled"})
	}
	services := func(ctx context.Context, i int) error {
		pods := make([]Pod, w.sizes.Endpoints)
		for slot := range pods {
			pods[slot] = w.sizes.Pod(w.cluster, i, slot)
			if err := w.AddPod(ctx, pods[slot]); err != nil {
				return err
			}
		}
		return w.AddService(ctx, w.sizes.Service(i), pods...)
	}
	if err := each(ctx, w.sizes.Namespaces, namespaces); err != nil {
		return fmt.Errorf("write namespaces: %w", err)
	}
	if err := each(ctx, w.sizes.Nodes, w.node); err != nil {
		return fmt.Errorf("write nodes: %w", err)
	}
	if err := each(ctx, w.sizes.Services, services); err != nil {
		return fmt.Errorf("write services: %w", err)
	}
	return nil
}

func (w *Writer) namespace(ctx context.Context, name string, labels map[string]string) error {
	_, err := w.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}, metav1.CreateOptions{})
	return err
}

func (w *Writer) node(ctx context.Context, n int) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName(n), Labels: map[string]string{
		corev1.LabelTopologyRegion: Region, corev1.LabelTopologyZone: Zone(n),
	}}}
	_, err := w.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	return err
}

func nodeName(n int) string { return fmt.Sprintf("node-%03d", n) }

// AddPods writes pods, many at a time.
func (w *Writer) AddPods(ctx context.Context, pods []Pod) error {
	return each(ctx, len(pods), func(ctx context.Context, i int) error { return w.AddPod(ctx, pods[i]) })
}

// AddPod writes a pod that runs and is ready.
func (w *Writer) AddPod(ctx context.Context, p Pod) error {
	grace := int64(0)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: p.Name, Labels: p.Labels(),
			Annotations: map[string]string{label.Status: `{"containers":["istio-proxy"],"initContainers":["istio-init"]}`},
		},
		Spec: corev1.PodSpec{
			NodeName: nodeName(p.Node), ServiceAccountName: p.Service.Name, TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{
				Name: "app", Image: "app:1",
				Ports: []corev1.ContainerPort{{Name: p.Service.Port.Name, ContainerPort: p.Service.Port.Target}},
			}},
		},
	}
	pods := w.client.CoreV1().Pods(p.Service.Namespace)
	pod, err := pods.Create(ctx, pod, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: p.Address.String(), PodIPs: []corev1.PodIP{{IP: p.Address.String()}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	}
	_, err = pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{})
	return err
}

// RemovePods deletes pods.
func (w *Writer) RemovePods(ctx context.Context, pods []Pod) error {
	return each(ctx, len(pods), func(ctx context.Context, i int) error {
		return w.client.CoreV1().Pods(pods[i].Service.Namespace).Delete(ctx, pods[i].Name, metav1.DeleteOptions{})
	})
}

// AddService writes a Service and its one EndpointSlice.
func (w *Writer) AddService(ctx context.Context, s Service, pods ...Pod) error {
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Labels: map[string]string{"app": s.Name}},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": s.Name},
			Ports: []corev1.ServicePort{{
				Name: s.Port.Name, Port: s.Port.Number, TargetPort: intstr.FromInt32(s.Port.Target), Protocol: corev1.ProtocolTCP,
			}},
		},
	}
	if _, err := w.client.CoreV1().Services(s.Namespace).Create(ctx, service, metav1.CreateOptions{}); err != nil {
		return err
	}
	tcp := corev1.ProtocolTCP
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: sliceName(s), Labels: map[string]string{discoveryv1.LabelServiceName: s.Name}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &s.Port.Name, Port: &s.Port.Target, Protocol: &tcp}},
	}
	for _, p := range pods {
		slice.Endpoints = append(slice.Endpoints, endpointOf(p))
	}
	_, err := w.client.DiscoveryV1().EndpointSlices(s.Namespace).Create(ctx, slice, metav1.CreateOptions{})
	return err
}

func sliceName(s Service) string { return s.Name + "-1" }

func endpointOf(p Pod) discoveryv1.Endpoint {
	yes, node, zone := true, nodeName(p.Node), Zone(p.Node)
	return discoveryv1.Endpoint{
		Addresses: []string{p.Address.String()}, NodeName: &node, Zone: &zone,
		Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes},
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: p.Service.Namespace, Name: p.Name},
	}
}

// RemoveService deletes a Service and then its EndpointSlice, as the garbage collector would.
func (w *Writer) RemoveService(ctx context.Context, s Service) error {
	if err := w.client.CoreV1().Services(s.Namespace).Delete(ctx, s.Name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	return w.client.DiscoveryV1().EndpointSlices(s.Namespace).Delete(ctx, sliceName(s), metav1.DeleteOptions{})
}

// Replace puts another pod in the place of endpoint number slot of a service, as when a pod was rolled over.
func (w *Writer) Replace(ctx context.Context, slot int, by Pod) error {
	patch, err := json.Marshal([]map[string]any{
		{"op": "replace", "path": fmt.Sprintf("/endpoints/%d", slot), "value": endpointOf(by)},
	})
	if err != nil {
		return err
	}
	_, err = w.client.DiscoveryV1().EndpointSlices(by.Service.Namespace).
		Patch(ctx, sliceName(by.Service), types.JSONPatchType, patch, metav1.PatchOptions{})
	return err
}

// Join writes the Secret by which this cluster's control plane reads another cluster.
func (w *Writer) Join(ctx context.Context, namespace, cluster string, kubeconfig []byte) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: "istio-remote-secret-" + cluster, Labels: map[string]string{label.MultiCluster: "true"},
			Annotations: map[string]string{label.ClusterName: cluster},
		},
		Data: map[string][]byte{cluster: kubeconfig},
	}
	_, err := w.client.CoreV1().Secrets(namespace).Create(ctx, secret, metav1.CreateOptions{})
	return err
}

// SystemNamespace makes the namespace of the control plane.
func (w *Writer) SystemNamespace(ctx context.Context, name string) error {
	return w.namespace(ctx, name, nil)
}
