package bootstrap

import (
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	metricsv3 "github.com/envoyproxy/go-control-plane/envoy/config/metrics/v3"
	wasmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/wasm/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// MetricNamespace is the stats scope whose metrics come out at /stats/prometheus without Envoy's prefix: a stats access
// logger with the scope prefix "wasmcustom" makes istio_requests_total and not envoy_istio_requests_total.
const MetricNamespace = "wasmcustom"

// metricNamespace makes Envoy know MetricNamespace. The Wasm factory registers it; no code is ever loaded (the
// fetch names an upstream that does not exist), so no virtual machine starts and no memory is used.
func metricNamespace() *corev3.TypedExtensionConfig {
	code := &corev3.AsyncDataSource{Specifier: &corev3.AsyncDataSource_Remote{Remote: &corev3.RemoteDataSource{
		Sha256:      strings.Repeat("0", 64),
		RetryPolicy: &corev3.RetryPolicy{NumRetries: wrapperspb.UInt32(0)},
		HttpUri: &corev3.HttpUri{
			Uri:              "http://none/none",
			HttpUpstreamType: &corev3.HttpUri_Cluster{Cluster: "none"},
			Timeout:          durationpb.New(100 * time.Millisecond),
		},
	}}}
	return &corev3.TypedExtensionConfig{
		Name: "envoy.bootstrap.wasm",
		TypedConfig: typed(&wasmv3.WasmService{
			Singleton: true,
			Config: &wasmv3.PluginConfig{
				Name: "metric_namespace",
				//nolint:staticcheck // deprecated for failure_policy, which Envoy 1.40 reads as "fail closed" here and logs so
				FailOpen: true,
				Vm: &wasmv3.PluginConfig_VmConfig{VmConfig: &wasmv3.VmConfig{
					Runtime: "envoy.wasm.runtime.null", Code: code,
				}},
			},
		}),
	}
}

// statsConfig keeps the statistics that dashboards read, and drops the rest: most of Envoy's memory would be
// statistics of upstreams. The control plane can open single upstreams again by Cluster.stats_matcher.
func statsConfig(f Facts) *metricsv3.StatsConfig {
	return &metricsv3.StatsConfig{
		StatsTags:         statsTags(),
		UseAllDefaultTags: wrapperspb.Bool(false),
		StatsMatcher: &metricsv3.StatsMatcher{StatsMatcher: &metricsv3.StatsMatcher_InclusionList{
			InclusionList: &matcherv3.ListStringMatcher{Patterns: inclusions(f)},
		}},
	}
}

// statsTags turn parts of a statistic's name into labels, with Istio's label names.
func statsTags() []*metricsv3.TagSpecifier {
	tags := [][2]string{
		{"cluster_name", `^cluster\.((.+?);\.)`},
		{"tcp_prefix", `^tcp\.((.*?)\.)\w+?$`},
		{"response_code", `_rq(_(\d{3}))$`},
		{"response_code_class", `_rq(_(\dxx))$`},
		{"http_conn_manager_prefix", `^http\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)`},
		{"listener_address", `^listener\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)`},
		{"authz_enforce_result", `rbac(\.(allowed|denied))`},
	}
	out := make([]*metricsv3.TagSpecifier, 0, len(tags))
	for _, tag := range tags {
		out = append(out, &metricsv3.TagSpecifier{
			TagName:  tag[0],
			TagValue: &metricsv3.TagSpecifier_Regex{Regex: tag[1]},
		})
	}
	return out
}

// Annotations and ProxyConfig.proxyStatsMatcher add to what every proxy keeps.
func inclusions(f Facts) []*matcherv3.StringMatcher {
	prefixes := []string{"reporter=", "cluster_manager", "listener_manager", "server", "cluster." + UpstreamXDS, "wasm", "component", "istio"}
	if f.Kind == Router {
		// A gateway has few listeners, and what passes through them is the first question of its operator.
		prefixes = append(prefixes, "listener.")
	}
	user := f.Config.GetProxyStatsMatcher()
	var out []*matcherv3.StringMatcher
	for _, s := range f.chosen(prefixes, user.GetInclusionPrefixes(), "sidecar.istio.io/statsInclusionPrefixes") {
		out = append(out, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: s}})
	}
	suffixes := []string{"rbac.allowed", "rbac.denied", "shadow_allowed", "shadow_denied"}
	for _, s := range f.chosen(suffixes, user.GetInclusionSuffixes(), "sidecar.istio.io/statsInclusionSuffixes") {
		out = append(out, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Suffix{Suffix: s}})
	}
	for _, s := range f.chosen([]string{`vhost\..*\.route\..*`}, user.GetInclusionRegexps(), "sidecar.istio.io/statsInclusionRegexps") {
		out = append(out, &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{
			SafeRegex: &matcherv3.RegexMatcher{Regex: s},
		}})
	}
	return out
}

// chosen joins the patterns of every proxy, of the ProxyConfig and of an annotation, with the pod's address filled in.
func (f Facts) chosen(always, config []string, annotation string) []string {
	var out []string
	for _, s := range append(append(append(out, always...), config...), splitList(f.Annotations[annotation])...) {
		if len(f.IPs) > 0 {
			s = strings.ReplaceAll(s, "{pod_ip}", f.IPs[0])
		}
		out = append(out, s)
	}
	return out
}
