package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/isthmus-mesh/isthmus/api/label"
	"github.com/isthmus-mesh/isthmus/internal/inject"
	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// facts are what a cluster says of itself. Checks judge them; they are not changed after they were gathered.
type facts struct {
	cluster   Cluster
	namespace string // of the control plane

	unreachable error  // why the API server gave no answer; everything else is empty then
	problems    error  // what could not be read besides
	uid         string // of namespace kube-system: the cluster's own name for itself

	deployments []appsv1.Deployment // of istiod
	revision    string              // of the control plane that verify looks at
	istiods     []istiod
	ready       map[string]error  // by istiod pod: why it is not ready
	versions    map[string]string // by istiod pod

	settings inject.Inputs
	own      bool // the injector's settings were found
	static   bool // meshNetworks are set, so that gateways may be named there

	secrets  []corev1.Secret // labelled as remote Secrets
	roots    trust.Bundle
	rootsErr error
	network  string // of the cluster
	gateways []gatewayFacts
	networks map[string]bool // that pods and namespaces are on, gateways left aside
	skew     time.Duration   // how far the API server's clock is ahead of ours
}

// gatewayFacts is a Service that carries the label of a network.
type gatewayFacts struct {
	name      string // namespace/name
	network   string
	addresses []string
}

// gather reads a cluster. It always returns facts: what could not be read is in them.
func gather(ctx context.Context, c Cluster, namespace string) *facts {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	f := &facts{cluster: c, namespace: namespace, networks: map[string]bool{}}
	system, err := c.Core.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		f.unreachable = err
		return f
	}
	f.uid = string(system.UID)
	f.problems = errors.Join(
		f.readClock(ctx), f.readControlPlane(ctx), f.readSettings(ctx), f.readSecrets(ctx), f.readGateways(ctx), f.readNetworks(ctx),
	)
	f.roots, f.rootsErr = f.readRoots(ctx)
	return f
}

// name is what the cluster is called in the mesh.
func (f *facts) name() string {
	if f.own {
		return cmp.Or(f.settings.ClusterID, "Kubernetes")
	}
	return f.cluster.Context
}

// domain is the trust domain.
func (f *facts) domain() string { return cmp.Or(f.settings.TrustDomain, trust.DefaultDomain) }

// revisioned is the name of an object of the control plane's revision.
func (f *facts) revisioned(name string) string {
	if f.revision == "" || f.revision == "default" {
		return name
	}
	return name + "-" + f.revision
}

func (f *facts) readClock(ctx context.Context) error {
	began := time.Now()
	now, err := f.cluster.Now(ctx)
	if err != nil {
		return fmt.Errorf("read the clock: %w", err)
	}
	// The answer was written somewhere between, and its time is cut to the second.
	middle := began.Add(time.Since(began) / 2)
	f.skew = now.Add(500 * time.Millisecond).Sub(middle)
	return nil
}

// readControlPlane finds istiod. Of several revisions the default one counts, else the first.
func (f *facts) readControlPlane(ctx context.Context) error {
	list, err := f.cluster.Core.AppsV1().Deployments(f.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=istiod"})
	if err != nil {
		return fmt.Errorf("list Deployments of istiod: %w", err)
	}
	f.deployments = list.Items
	slices.SortFunc(f.deployments, func(a, b appsv1.Deployment) int {
		return cmp.Or(-cmp.Compare(isDefault(a), isDefault(b)), strings.Compare(a.Name, b.Name))
	})
	if len(f.deployments) == 0 {
		return nil
	}
	f.deployments = f.deployments[:1]
	f.revision = f.deployments[0].Labels[label.Revision]
	if f.istiods, err = istiods(ctx, f.cluster, f.namespace, f.revision); err != nil {
		return err
	}
	f.ready, f.versions = map[string]error{}, map[string]string{}
	for _, i := range f.istiods {
		if !i.running {
			f.ready[i.pod] = errors.New("the pod does not run")
			continue
		}
		_, f.ready[i.pod] = f.cluster.Get(ctx, f.namespace, i.pod, readyPort, "/ready")
		if text, err := f.cluster.Get(ctx, f.namespace, i.pod, monitoringPort, "/version"); err == nil {
			// What follows the release says of which commit the build is; ours does not tell.
			f.versions[i.pod] = strings.TrimSuffix(strings.TrimSpace(string(text)), "-unknown-Clean")
		}
	}
	return nil
}

func isDefault(d appsv1.Deployment) int {
	if r := d.Labels[label.Revision]; r == "" || r == "default" {
		return 1
	}
	return 0
}

func (f *facts) readSettings(ctx context.Context) error {
	values, err := f.configMap(ctx, f.revisioned("istio-sidecar-injector"))
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	mesh, err := f.configMap(ctx, f.revisioned("istio"))
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	f.settings, err = inject.InputsFromConfig([]byte(values["values"]), []byte(mesh["mesh"]))
	if err != nil {
		return err
	}
	f.own = true
	networks := strings.TrimSpace(mesh["meshNetworks"])
	f.static = networks != "" && networks != "networks: {}"
	return nil
}

func (f *facts) configMap(ctx context.Context, name string) (map[string]string, error) {
	cm, err := f.cluster.Core.CoreV1().ConfigMaps(f.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read ConfigMap %s/%s: %w", f.namespace, name, err)
	}
	return cm.Data, nil
}

func (f *facts) readRoots(ctx context.Context) (trust.Bundle, error) {
	data, err := f.configMap(ctx, "istio-ca-root-cert")
	if err != nil {
		return trust.Bundle{}, err
	}
	bundle, err := trust.ParseBundle([]byte(data["root-cert.pem"]))
	if err != nil {
		return trust.Bundle{}, fmt.Errorf("ConfigMap %s/istio-ca-root-cert: %w", f.namespace, err)
	}
	return bundle, nil
}

func (f *facts) readSecrets(ctx context.Context) error {
	list, err := f.cluster.Core.CoreV1().Secrets(f.namespace).List(ctx, metav1.ListOptions{LabelSelector: label.MultiCluster + "=true"})
	if err != nil {
		return fmt.Errorf("list remote Secrets: %w", err)
	}
	f.secrets = list.Items
	return nil
}

// readGateways finds the gateways into networks, and in passing marks no network of theirs as one that workloads are on.
func (f *facts) readGateways(ctx context.Context) error {
	services, err := f.cluster.Core.CoreV1().Services("").List(ctx, metav1.ListOptions{LabelSelector: label.Network})
	if err != nil {
		return fmt.Errorf("list gateways: %w", err)
	}
	behind := map[string][]labels.Selector{} // by namespace
	for _, s := range services.Items {
		g := gatewayFacts{name: s.Namespace + "/" + s.Name, network: s.Labels[label.Network], addresses: s.Spec.ExternalIPs}
		for _, in := range s.Status.LoadBalancer.Ingress {
			g.addresses = append(g.addresses, cmp.Or(in.IP, in.Hostname))
		}
		f.gateways = append(f.gateways, g)
		behind[s.Namespace] = append(behind[s.Namespace], labels.SelectorFromSet(s.Spec.Selector))
	}
	pods, err := f.cluster.Core.CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: label.Network})
	if err != nil {
		return fmt.Errorf("list pods that name a network: %w", err)
	}
	for _, pod := range pods.Items {
		isGateway := slices.ContainsFunc(behind[pod.Namespace], func(s labels.Selector) bool { return s.Matches(labels.Set(pod.Labels)) })
		if !isGateway {
			f.networks[pod.Labels[label.Network]] = true
		}
	}
	return nil
}

// readNetworks finds the network of the cluster, which the namespace of the control plane names.
func (f *facts) readNetworks(ctx context.Context) error {
	own, err := f.cluster.Core.CoreV1().Namespaces().Get(ctx, f.namespace, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read namespace %s: %w", f.namespace, err)
	}
	f.network = cmp.Or(own.Labels[label.Network], f.settings.Network)
	f.networks[f.network] = true
	return nil
}
