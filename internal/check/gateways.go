package check

import (
	"fmt"
	"slices"
	"strings"
)

// judgeGateways looks at the gateways between networks of one cluster; it returns a verdict for each that needs one said.
func judgeGateways(f *facts, all []*facts) []Verdict {
	var verdicts []Verdict
	for _, g := range f.gateways {
		verdicts = append(verdicts, judgeGateway(f, g, all))
	}
	if needsGateway(f, all) && !f.static && !slices.ContainsFunc(everyGateway(all), func(g gatewayFacts) bool { return g.network == f.network }) {
		verdicts = append(verdicts, failed(
			fmt.Sprintf("samples/multicluster/gen-eastwest-gateway.sh --network %s | istioctl --context=%s install -y -f -", f.network, f.cluster.Context),
			"network %s has no gateway, so other networks cannot reach its pods", f.network))
	}
	return verdicts
}

func judgeGateway(f *facts, g gatewayFacts, all []*facts) Verdict {
	if !slices.ContainsFunc(all, func(other *facts) bool { return other.networks[g.network] }) {
		return note("%s names network %s, and no pod or namespace is on it (the cluster is on %s): nothing is sent through it",
			g.name, g.network, quoted(f.network))
	}
	if len(g.addresses) > 0 {
		return ok("%s of %s at %s", g.name, g.network, strings.Join(g.addresses, ", "))
	}
	text := fmt.Sprintf("%s of %s has no address", g.name, g.network)
	if !needsGateway(f, all) {
		return note("%s; all clusters are on one network, so nothing needs it", text)
	}
	namespace, name, _ := strings.Cut(g.name, "/")
	return failed(f.kubectl("describe service -n %s %s", namespace, name)+"; has the cluster a load balancer?", "%s", text)
}

// needsGateway reports whether another cluster is on another network than f.
func needsGateway(f *facts, all []*facts) bool {
	return f.network != "" && slices.ContainsFunc(all, func(other *facts) bool {
		return other.network != "" && other.network != f.network
	})
}

func everyGateway(all []*facts) []gatewayFacts {
	var gateways []gatewayFacts
	for _, f := range all {
		gateways = append(gateways, f.gateways...)
	}
	return gateways
}

func quoted(network string) string {
	if network == "" {
		return "no named network"
	}
	return network
}
