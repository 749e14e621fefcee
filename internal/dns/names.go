// Package dns answers the pod's DNS queries: names of the mesh from the control plane's name table, all others from the
// servers that the pod would have asked without it. The agent runs it. It never makes a lookup worse than it would be without:
// before the first table, and for every unknown name, it only passes on.
package dns

import (
	"math/rand/v2"
	"net/netip"
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/nds"
)

// names is a table ready for lookups. It does not change after newNames.
type names struct {
	byName map[string]addresses // fully qualified, lower case, with a trailing dot
	suffix string               // the first search domain of resolv.conf, with a trailing dot; "" for none
}

// addresses of one name, by family.
type addresses struct {
	v4, v6 []netip.Addr
}

// newNames spreads the table's names over the forms that people write: a Kubernetes service of the proxy's own namespace as
// name, name.ns, name.ns.svc and in full, one of another namespace in all but the first, any other host in full only.
func newNames(table nds.Table, namespace, clusterDomain, search string) *names {
	n := &names{byName: make(map[string]addresses, 3*len(table))}
	if search != "" {
		n.suffix = fqdn(search)
	}
	for host, info := range table {
		found := byFamily(info.IPs)
		for _, name := range append(forms(host, info, namespace, clusterDomain), info.AltHosts...) {
			n.byName[fqdn(name)] = found
		}
	}
	// The name in full wins over a short form of another that looks the same.
	for host, info := range table {
		n.byName[fqdn(host)] = byFamily(info.IPs)
	}
	return n
}

func forms(host string, info nds.Info, namespace, clusterDomain string) []string {
	if info.Registry != nds.Kubernetes || info.ShortName == "" || !strings.HasSuffix(host, clusterDomain) {
		return []string{host}
	}
	short, ns := info.ShortName, info.Namespace
	out := []string{host, short + "." + ns, short + "." + ns + ".svc"}
	if ns == namespace {
		out = append(out, short)
	}
	return out
}

func byFamily(ips []string) addresses {
	var a addresses
	for _, text := range ips {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			continue // a range or a host name is no answer
		}
		if ip = ip.Unmap(); ip.Is4() {
			a.v4 = append(a.v4, ip)
		} else {
			a.v6 = append(a.v6, ip)
		}
	}
	return a
}

// lookup finds the addresses of a name. alias is the name they belong to if the asked one has the search domain at its end, as
// resolvers try it first; else it is empty.
func (n *names) lookup(name string) (found addresses, alias string, ok bool) {
	name = fqdn(name)
	if found, ok = n.match(name); ok {
		return found, "", true
	}
	if n.suffix == "" {
		return addresses{}, "", false
	}
	bare, has := strings.CutSuffix(name, "."+n.suffix)
	if !has {
		return addresses{}, "", false
	}
	found, ok = n.match(bare + ".")
	return found, bare + ".", ok
}

// match finds the name itself, or the closest wildcard above it.
func (n *names) match(name string) (addresses, bool) {
	if found, ok := n.byName[name]; ok {
		return found, true
	}
	for rest := name; ; {
		_, parent, more := strings.Cut(rest, ".")
		if !more || parent == "" {
			return addresses{}, false
		}
		if found, ok := n.byName["*."+parent]; ok {
			return found, true
		}
		rest = parent
	}
}

// shuffled spreads clients over the addresses.
func shuffled(ips []netip.Addr) []netip.Addr {
	out := append([]netip.Addr(nil), ips...)
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func fqdn(name string) string {
	name = strings.ToLower(name)
	if strings.HasSuffix(name, ".") {
		return name
	}
	return name + "."
}
