package cloud

import (
	"context"
	"net/netip"

	core "k8s.io/api/core/v1"
	cloudprovider "k8s.io/cloud-provider"
)

// provider is a cloud that has load balancers and nothing else.
type provider struct {
	pool *pool
}

var (
	_ cloudprovider.Interface    = provider{}
	_ cloudprovider.LoadBalancer = provider{}
)

// owner tells a Service from one that had its name before.
func owner(service *core.Service) string {
	return service.Namespace + "/" + service.Name + "/" + string(service.UID)
}

// wanted are the addresses that the Service has had or asks for.
func wanted(service *core.Service) []netip.Addr {
	texts := []string{service.Spec.LoadBalancerIP}
	for _, ingress := range service.Status.LoadBalancer.Ingress {
		texts = append(texts, ingress.IP)
	}
	var addresses []netip.Addr
	for _, text := range texts {
		// What is no address cannot be had: the Service gets another.
		if address, err := netip.ParseAddr(text); err == nil {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

func status(address netip.Addr) *core.LoadBalancerStatus {
	return &core.LoadBalancerStatus{Ingress: []core.LoadBalancerIngress{{IP: address.String()}}}
}

func (p provider) GetLoadBalancer(_ context.Context, _ string, service *core.Service) (*core.LoadBalancerStatus, bool, error) {
	address, ok := p.pool.owned(owner(service))
	if !ok {
		return nil, false, nil
	}
	return status(address), true, nil
}

func (p provider) GetLoadBalancerName(_ context.Context, _ string, service *core.Service) string {
	return cloudprovider.DefaultLoadBalancerName(service)
}

func (p provider) EnsureLoadBalancer(
	_ context.Context, _ string, service *core.Service, _ []*core.Node,
) (*core.LoadBalancerStatus, error) {
	address, err := p.pool.take(owner(service), wanted(service)...)
	if err != nil {
		return nil, err
	}
	return status(address), nil
}

func (p provider) UpdateLoadBalancer(context.Context, string, *core.Service, []*core.Node) error {
	return nil
}

func (p provider) EnsureLoadBalancerDeleted(_ context.Context, _ string, service *core.Service) error {
	p.pool.release(owner(service))
	return nil
}

func (p provider) Initialize(cloudprovider.ControllerClientBuilder, <-chan struct{}) {}
func (p provider) LoadBalancer() (cloudprovider.LoadBalancer, bool)                  { return p, true }

func (p provider) Instances() (cloudprovider.Instances, bool) { return nil, false }

func (p provider) InstancesV2() (cloudprovider.InstancesV2, bool) { return nil, false }

func (p provider) Zones() (cloudprovider.Zones, bool) { return nil, false }

func (p provider) Clusters() (cloudprovider.Clusters, bool) { return nil, false }

func (p provider) Routes() (cloudprovider.Routes, bool) { return nil, false }

func (p provider) ProviderName() string { return "isthmus-lab" }
func (p provider) HasClusterID() bool   { return true }
