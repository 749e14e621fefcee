package golden

import (
	"bufio"
	"bytes"
	"fmt"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

func newReader(data []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(data)) }

// Bootstrap puts all resources into one static bootstrap: endpoints into their upstreams, routes into their listeners, secrets
// beside them.
// Envoy's validation accepts anything that it reads by name, so everything has to stand inside.
func Bootstrap(resources map[string][]proto.Message) (*bootstrap.Bootstrap, error) {
	b := &bootstrap.Bootstrap{
		Node:            &core.Node{Id: "golden", Cluster: "golden"},
		StaticResources: &bootstrap.Bootstrap_StaticResources{},
	}
	agent := &cluster.Cluster{Name: "sds-grpc", ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STATIC}}
	b.StaticResources.Clusters = append(b.StaticResources.Clusters, agent)
	assignments := map[string]*endpoint.ClusterLoadAssignment{}
	for _, m := range resources["eds"] {
		cla := m.(*endpoint.ClusterLoadAssignment)
		assignments[cla.ClusterName] = cla
	}
	for _, m := range resources["cds"] {
		c := proto.CloneOf(m.(*cluster.Cluster))
		if c.GetType() == cluster.Cluster_EDS {
			c.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_STATIC}
			c.EdsClusterConfig = nil
			c.LoadAssignment = assignments[c.Name]
			if c.LoadAssignment == nil {
				return nil, fmt.Errorf("upstream %s has no endpoints resource", c.Name)
			}
			delete(assignments, c.Name)
		}
		b.StaticResources.Clusters = append(b.StaticResources.Clusters, c)
	}
	for name := range assignments {
		return nil, fmt.Errorf("endpoints for %s, which is no upstream", name)
	}
	tables := map[string]*route.RouteConfiguration{}
	for _, m := range resources["rds"] {
		rc := m.(*route.RouteConfiguration)
		tables[rc.Name] = rc
	}
	secrets := map[string]bool{}
	for _, m := range resources["sds"] {
		secret := m.(*tls.Secret)
		secrets[secret.Name] = true
		b.StaticResources.Secrets = append(b.StaticResources.Secrets, secret)
	}
	for _, m := range resources["lds"] {
		l := proto.CloneOf(m.(*listener.Listener))
		if err := inlineRoutes(l, tables); err != nil {
			return nil, err
		}
		if err := inlineSecrets(l, secrets); err != nil {
			return nil, err
		}
		b.StaticResources.Listeners = append(b.StaticResources.Listeners, l)
	}
	return b, nil
}

func inlineRoutes(l *listener.Listener, tables map[string]*route.RouteConfiguration) error {
	chains := l.FilterChains
	if l.DefaultFilterChain != nil {
		chains = append(chains[:len(chains):len(chains)], l.DefaultFilterChain)
	}
	for _, c := range chains {
		for _, f := range c.Filters {
			manager := &hcm.HttpConnectionManager{}
			if !f.GetTypedConfig().MessageIs(manager) {
				continue
			}
			if err := f.GetTypedConfig().UnmarshalTo(manager); err != nil {
				return err
			}
			rds := manager.GetRds()
			if rds == nil {
				continue
			}
			table := tables[rds.RouteConfigName]
			if table == nil {
				return fmt.Errorf("listener %s: no routes %s", l.Name, rds.RouteConfigName)
			}
			manager.RouteSpecifier = &hcm.HttpConnectionManager_RouteConfig{RouteConfig: table}
			packed, err := anypb.New(manager)
			if err != nil {
				return err
			}
			f.ConfigType = &listener.Filter_TypedConfig{TypedConfig: packed}
		}
	}
	return nil
}
