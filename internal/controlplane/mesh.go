package controlplane

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/isthmus-mesh/isthmus/internal/meshconfig"
	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// meshSettings holds the mesh's settings as the ConfigMap istio and the installation have them. A document or a field that
// cannot be used changes nothing: what was good before stays in force.
type meshSettings struct {
	log *slog.Logger

	mu       sync.Mutex // guards the fields below
	own      registry.Own
	mesh     *model.Mesh
	config   *meshconfig.Config // nil until the first one has been read
	domain   string             // the trust domain that stays until the next start; empty before it is fixed
	networks []model.NetworkSetting
	problems []model.Problem
}

func newMeshSettings(own registry.Own, log *slog.Logger) *meshSettings {
	m := &meshSettings{own: own, log: log}
	m.read()
	return m
}

func (m *meshSettings) current() *model.Mesh {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mesh
}

// trouble is what is wrong with the settings.
func (m *meshSettings) trouble() []model.Problem {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.problems
}

// setConfig takes the content of the ConfigMap.
func (m *meshSettings) setConfig(cm *corev1.ConfigMap) {
	m.mu.Lock()
	defer m.mu.Unlock()
	config, problems := meshconfig.Read([]byte(cm.Data["mesh"]), m.config)
	networks, more := registry.NetworksFrom([]byte(cm.Data["meshNetworks"]), m.networks)
	m.config, m.networks, m.problems = config, networks, slices.Concat(problems, more)
	m.read()
	if wanted := registry.MeshOf(config, networks, m.own).TrustDomain; m.domain != "" && wanted != m.domain {
		m.problems = append(m.problems, model.Problem{
			Object: model.Ref{Kind: "ConfigMap key", Name: "mesh"},
			Text:   fmt.Sprintf("trustDomain %s takes effect when istiod is restarted: until then it is %s", wanted, m.domain),
		})
	}
	for _, p := range m.problems {
		m.log.Warn("mesh configuration", "object", p.Object.String(), "problem", p.Text)
	}
}

// setInstalled takes what the installation says of the own cluster.
func (m *meshSettings) setInstalled(network model.Network, meshID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.own.Network, m.own.MeshID = network, meshID
	m.read()
}

// read makes the settings anew. m.mu is held.
func (m *meshSettings) read() {
	config := m.config
	if config == nil {
		config, _ = meshconfig.Read(nil, nil)
	}
	m.mesh = registry.MeshOf(config, m.networks, m.own)
	if m.domain != "" {
		m.mesh.TrustDomain = m.domain
	}
}

// fixTrustDomain gives the trust domain, and keeps it whatever the ConfigMap says from now on: the certificate authority and the
// check of callers read it once, and proxies must not be told of another one.
func (m *meshSettings) fixTrustDomain() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.domain = m.mesh.TrustDomain
	return m.domain
}

// discoveryHost is the name by which proxies call the control plane, when the mesh says one; it may be an address.
func (m *meshSettings) discoveryHost() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.config == nil {
		return ""
	}
	address := m.config.Message.GetDefaultConfig().GetDiscoveryAddress()
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

// configMapName is the name of an object of this revision of the control plane.
func configMapName(name, revision string) string {
	if revision == "" || revision == "default" {
		return name
	}
	return name + "-" + revision
}

// watch follows the ConfigMap until the context ends, and calls changed after each change. A ConfigMap that is deleted
// leaves the last settings in force. It returns when the first content has been read, or its absence is certain.
func (m *meshSettings) watch(ctx context.Context, client kubernetes.Interface, namespace, revision string, changed func()) error {
	name := configMapName("istio", revision)
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector("metadata.name", name).String()
		}))
	informer := factory.Core().V1().ConfigMaps().Informer()
	take := func(obj any) {
		if cm, ok := obj.(*corev1.ConfigMap); ok && cm.Name == name {
			m.setConfig(cm)
			changed()
		}
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: take, UpdateFunc: func(_, obj any) { take(obj) },
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	cache.WaitForCacheSync(ctx.Done(), registration.HasSynced)
	return nil
}
