package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/isthmus-mesh/isthmus/internal/check"
)

func newProxyStatusCommand(g *globals) *cobra.Command {
	var revision, output string
	var detail int
	cmd := &cobra.Command{
		Use:     "proxy-status [POD[.NAMESPACE] | POD/NAMESPACE]",
		Aliases: []string{"ps"},
		Short:   "List the proxies and how far each follows its control plane; of one, what it refused and why",
		Example: `  istioctl proxy-status --context="${CTX_CLUSTER1}"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError(fmt.Errorf("give one pod, as POD.NAMESPACE, not %d", len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains([]string{"table", "json", "yaml"}, output) {
				return usageError(fmt.Errorf("--output %q: use table, json or yaml", output))
			}
			cluster, err := g.ownCluster()
			if err != nil {
				return err
			}
			proxies, err := check.Proxies(cmd.Context(), cluster, g.istioNamespace, revision)
			if err != nil && len(proxies) == 0 {
				return err
			}
			table := func() string { return proxiesText(proxies, detail > 0, time.Now()) }
			if len(args) == 1 {
				name := g.proxyName(args[0])
				proxies = slices.DeleteFunc(proxies, func(p check.ProxyState) bool { return p.Proxy != name })
				if len(proxies) == 0 {
					return fmt.Errorf("no istiod of this cluster has a stream of %s: is its sidecar running, and is this its control plane?", name)
				}
				table = func() string { return proxyText(proxies[0], time.Now()) }
			}
			if printErr := printRows(g.Out, output, proxies, table); printErr != nil {
				return printErr
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&revision, "revision", "r", "", "only this revision of the control plane")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table, json or yaml")
	completeOutput(cmd, "table", "json", "yaml")
	cmd.Flags().IntVarP(&detail, "verbosity", "v", 0, "1 shows the state of each type")
	return cmd
}

// proxyName is POD.NAMESPACE of what was typed, where POD/NAMESPACE and -n are other ways to say the namespace.
func (g *globals) proxyName(typed string) string {
	if pod, namespace, ok := strings.Cut(typed, "/"); ok {
		return pod + "." + namespace
	}
	if strings.Contains(typed, ".") {
		return typed
	}
	if g.namespace != "" {
		return typed + "." + g.namespace
	}
	return typed + ".default"
}

// shortType is what people call a type of resource, by the message in its URL.
var shortType = map[string]string{
	"envoy.config.cluster.v3.Cluster":                  "CDS",
	"envoy.config.core.v3.TypedExtensionConfig":        "ECDS",
	"envoy.config.endpoint.v3.ClusterLoadAssignment":   "EDS",
	"envoy.config.listener.v3.Listener":                "LDS",
	"envoy.config.route.v3.RouteConfiguration":         "RDS",
	"envoy.config.route.v3.ScopedRouteConfiguration":   "SRDS",
	"envoy.config.route.v3.VirtualHost":                "VHDS",
	"envoy.extensions.transport_sockets.tls.v3.Secret": "SDS",
	"istio.networking.nds.v1.NameTable":                "NDS",
	"istio.mesh.v1alpha1.ProxyConfig":                  "PCDS",
}

func typeName(url string) string {
	message := url[strings.LastIndexByte(url, '/')+1:]
	if name, known := shortType[message]; known {
		return name
	}
	return message
}

// types gives a proxy's types by their short names.
func types(p check.ProxyState) map[string]check.TypeState {
	all := map[string]check.TypeState{}
	for url, state := range p.Resources {
		all[typeName(url)] = state
	}
	return all
}

// subscribed lists types in the order in which they are pushed.
func subscribed(p check.ProxyState) []string {
	byPush := []string{"CDS", "LDS", "EDS", "RDS"}
	names := slices.Sorted(maps.Keys(types(p)))
	slices.SortStableFunc(names, func(a, b string) int { return rank(byPush, a) - rank(byPush, b) })
	return names
}

func rank(names []string, name string) int {
	if i := slices.Index(names, name); i >= 0 {
		return i
	}
	return len(names)
}

func proxiesText(proxies []check.ProxyState, detail bool, now time.Time) string {
	if !detail {
		var rows [][]string
		for _, p := range proxies {
			names := subscribed(p)
			rows = append(rows, []string{p.Proxy, p.Cluster, p.Istiod, p.Version, fmt.Sprintf("%d (%s)%s", len(names), strings.Join(names, ","), trouble(p))})
		}
		return columns([]string{"NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"}, rows)
	}
	every := map[string]bool{}
	for _, p := range proxies {
		for name := range types(p) {
			every[name] = true
		}
	}
	names := slices.Sorted(maps.Keys(every))
	var rows [][]string
	for _, p := range proxies {
		row := []string{p.Proxy, p.Cluster}
		states := types(p)
		for _, name := range names {
			row = append(row, cell(states[name], now))
		}
		rows = append(rows, append(row, p.Istiod, p.Version))
	}
	return columns(slices.Concat([]string{"NAME", "CLUSTER"}, names, []string{"ISTIOD", "VERSION"}), rows)
}

// trouble names the types that are not as they should be; empty when all are.
func trouble(p check.ProxyState) string {
	states := types(p)
	var parts []string
	for _, name := range subscribed(p) {
		if s := states[name].State(); s == "ERROR" || s == "STALE" {
			parts = append(parts, name+" "+s)
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " " + strings.Join(parts, ", ")
}

// cell is a state with its age, as Istio's table has it.
func cell(s check.TypeState, now time.Time) string {
	if s.SentTime == nil {
		return s.State()
	}
	return fmt.Sprintf("%s (%s)", s.State(), ago(*s.SentTime, now))
}

// proxyText is one proxy in detail: a row a type, and what it said to what it refused.
func proxyText(p check.ProxyState, now time.Time) string {
	states := types(p)
	var rows [][]string
	var refusals []string
	for _, name := range subscribed(p) {
		s := states[name]
		rows = append(rows, []string{name, cell(s, now)})
		if s.LastError != "" {
			refusals = append(refusals, fmt.Sprintf("%s was refused: %s\n", name, s.LastError))
		}
	}
	head := fmt.Sprintf("%s (%s) in %s, served by %s, version %s\n\n", p.Proxy, p.Kind, p.Cluster, p.Istiod, p.Version)
	text := head + columns([]string{"TYPE", "STATE"}, rows)
	if len(refusals) > 0 {
		text += "\n" + strings.Join(refusals, "")
	}
	return text
}
