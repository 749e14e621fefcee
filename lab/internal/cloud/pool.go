// Package cloud gives Services of type LoadBalancer their addresses: Kubernetes' own service controller on a provider that hands out the
// cluster's range. The process `isthmus-lab cloud-controller` runs it on the first node of each cluster. It moves no packets: the
// range is routed to that node, and kube-proxy does the rest.
package cloud

import (
	"fmt"
	"net/netip"
	"sync"
)

// pool hands out the addresses of a range, the lowest free one first.
type pool struct {
	within netip.Prefix

	mu    sync.Mutex // guards taken
	taken map[netip.Addr]string
}

func newPool(within netip.Prefix) *pool {
	return &pool{within: within, taken: map[netip.Addr]string{}}
}

// take returns the address that the owner has. If it has none it gets one of the wanted, the first that is free and in the range, or any.
func (p *pool) take(owner string, wanted ...netip.Addr) (netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if address, ok := p.of(owner); ok {
		return address, nil
	}
	for _, address := range wanted {
		if p.free(address) {
			p.taken[address] = owner
			return address, nil
		}
	}
	for address := p.within.Addr().Next(); p.within.Contains(address); address = address.Next() {
		if p.free(address) {
			p.taken[address] = owner
			return address, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no address of %s is free: %d Services have one", p.within, len(p.taken))
}

// owned is the address that the owner has, if any.
func (p *pool) owned(owner string) (netip.Addr, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of(owner)
}

// release frees what the owner has.
func (p *pool) release(owner string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if address, ok := p.of(owner); ok {
		delete(p.taken, address)
	}
}

// of needs mu.
func (p *pool) of(owner string) (netip.Addr, bool) {
	for address, by := range p.taken {
		if by == owner {
			return address, true
		}
	}
	return netip.Addr{}, false
}

// free needs mu. The first and the last address of a range are no hosts' addresses to many programs.
func (p *pool) free(address netip.Addr) bool {
	_, taken := p.taken[address]
	return !taken && p.within.Contains(address) && address != p.within.Addr() && p.within.Contains(address.Next())
}
