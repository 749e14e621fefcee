package registry

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"

	meshv1 "istio.io/api/mesh/v1alpha1"

	"github.com/isthmus-mesh/isthmus/internal/meshconfig"
	"github.com/isthmus-mesh/isthmus/internal/model"
)

// networksReader collects what is wrong while it reads.
type networksReader struct {
	meshconfig.Reader
	last []model.NetworkSetting // nil when there is no last version
}

// NetworksFrom reads a version of meshNetworks. A network that is declared without a body counts, with nothing in it. What is
// wrong is a problem: a network with something wrong in it stays as it was in the last version; one that is new counts with
// what could be read of it.
func NetworksFrom(text []byte, last []model.NetworkSetting) ([]model.NetworkSetting, []model.Problem) {
	r := &networksReader{Reader: meshconfig.Reader{Document: "meshNetworks", Kept: len(last) > 0}, last: last}
	top, ok := r.Fields(text)
	for _, name := range slices.Sorted(maps.Keys(top)) {
		if name != "networks" {
			r.Problem("%s is not known and left out: everything belongs under networks", name)
			ok = false
		}
	}
	networks, readable := r.Fields(top["networks"])
	settings := r.settings(networks)
	if (!ok || !readable) && len(settings) == 0 {
		return last, r.Problems
	}
	r.checkRegistries(settings)
	return settings, r.Problems
}

// settings reads the networks one by one.
func (r *networksReader) settings(networks map[string]json.RawMessage) []model.NetworkSetting {
	var settings []model.NetworkSetting
	strays := false // parts of a network stand beside the networks, so those without a body have lost theirs
	for _, name := range slices.Sorted(maps.Keys(networks)) {
		if isList := len(networks[name]) > 0 && networks[name][0] == '['; isList && (name == "endpoints" || name == "gateways") {
			r.Problem("%s stands beside the networks and is left out: indent it below the network that it belongs to", name)
			strays = true
			delete(networks, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(networks)) {
		before := len(r.Problems)
		setting, ok := r.setting(name, networks[name])
		if lost := strays && string(networks[name]) == "null"; lost || len(r.Problems) > before {
			if i := slices.IndexFunc(r.last, func(s model.NetworkSetting) bool { return s.Network == setting.Network }); i >= 0 {
				setting, ok = r.last[i], true
			}
		}
		if ok {
			settings = append(settings, setting)
		}
	}
	return settings
}

// setting reads one network. False says that nothing could be read.
func (r *networksReader) setting(name string, body json.RawMessage) (model.NetworkSetting, bool) {
	network := &meshv1.Network{}
	ok := string(body) == "null" || r.Message("network "+name, body, network)
	setting := model.NetworkSetting{Network: model.Network(name)}
	for _, e := range network.GetEndpoints() {
		if registry := e.GetFromRegistry(); registry != "" {
			setting.Registries = append(setting.Registries, model.Cluster(registry))
		}
		if text := e.GetFromCidr(); text != "" {
			cidr, err := netip.ParsePrefix(text)
			if err != nil {
				r.Problem("network %s: fromCidr %q is not of the form 10.0.0.0/8: %s", name, text, r.Instead())
				continue
			}
			setting.CIDRs = append(setting.CIDRs, cidr.Masked())
		}
	}
	for _, g := range network.GetGateways() {
		gateway := model.NetworkGatewaySetting{
			Address: g.GetAddress(),
			Service: model.Hostname(g.GetRegistryServiceName()),
			Port:    uint16(g.GetPort()),
		}
		switch {
		case g.GetPort() == 0 || g.GetPort() > 65535:
			r.Problem("network %s: a gateway has port %d, 1 to 65535 is possible: %s", name, g.GetPort(), r.Instead())
		case gateway.Address == "" && gateway.Service == "":
			r.Problem("network %s: a gateway has neither address nor registryServiceName: %s", name, r.Instead())
		default:
			setting.Gateways = append(setting.Gateways, gateway)
		}
	}
	return setting, ok
}

// checkRegistries reports a cluster that two networks claim: the first network, by name, has it.
func (r *networksReader) checkRegistries(settings []model.NetworkSetting) {
	first := make(map[model.Cluster]model.Network)
	for _, s := range settings {
		for _, c := range s.Registries {
			if n, taken := first[c]; taken {
				r.Problem("network %s: fromRegistry %s belongs to network %s already, which keeps it", s.Network, c, n)
				continue
			}
			first[c] = s.Network
		}
	}
}
