package inject

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Annotation keys that injection reads. https://istio.io/latest/docs/reference/config/annotations/
const (
	templatesKey          = "inject.istio.io/templates"
	proxyConfigKey        = "proxy.istio.io/config"
	overridesKey          = "proxy.istio.io/overrides"
	statusKey             = "sidecar.istio.io/status"
	nativeKey             = "sidecar.istio.io/nativeSidecar"
	interceptionKey       = "sidecar.istio.io/interceptionMode"
	discoveryKey          = "sidecar.istio.io/discoveryAddress"
	imageKey              = "sidecar.istio.io/proxyImage"
	imageTypeKey          = "sidecar.istio.io/proxyImageType"
	cpuKey                = "sidecar.istio.io/proxyCPU"
	cpuLimitKey           = "sidecar.istio.io/proxyCPULimit"
	memoryKey             = "sidecar.istio.io/proxyMemory"
	memoryLimitKey        = "sidecar.istio.io/proxyMemoryLimit"
	logLevelKey           = "sidecar.istio.io/logLevel"
	componentLogLevelKey  = "sidecar.istio.io/componentLogLevel"
	agentLogLevelKey      = "sidecar.istio.io/agentLogLevel"
	netBindKey            = "sidecar.istio.io/capNetBindService"
	rewriteProbesKey      = "sidecar.istio.io/rewriteAppHTTPProbers"
	userVolumeKey         = "sidecar.istio.io/userVolume"
	userVolumeMountKey    = "sidecar.istio.io/userVolumeMount"
	statusPortKey         = "status.sidecar.istio.io/port"
	initialDelayKey       = "readiness.status.sidecar.istio.io/initialDelaySeconds"
	periodKey             = "readiness.status.sidecar.istio.io/periodSeconds"
	failureThresholdKey   = "readiness.status.sidecar.istio.io/failureThreshold"
	mergeMetricsKey       = "prometheus.istio.io/merge-metrics"
	scrapeTargetsKey      = "prometheus.istio.io/scrape-targets"
	includeInPortsKey     = "traffic.sidecar.istio.io/includeInboundPorts"
	excludeInPortsKey     = "traffic.sidecar.istio.io/excludeInboundPorts"
	includeOutPortsKey    = "traffic.sidecar.istio.io/includeOutboundPorts"
	excludeOutPortsKey    = "traffic.sidecar.istio.io/excludeOutboundPorts"
	includeOutRangesKey   = "traffic.sidecar.istio.io/includeOutboundIPRanges"
	excludeOutRangesKey   = "traffic.sidecar.istio.io/excludeOutboundIPRanges"
	excludeInterfacesKey  = "traffic.sidecar.istio.io/excludeInterfaces"
	kubevirtInterfacesKey = "traffic.sidecar.istio.io/kubevirtInterfaces"
	rerouteInterfacesKey  = "istio.io/reroute-virtual-interfaces"
	bootstrapOverrideKey  = "sidecar.istio.io/bootstrapOverride"
)

// unsupported annotations change what the proxy runs. A pod that has one is refused, as running it without would not be
// what its owner asked for.
var unsupported = map[string]string{
	bootstrapOverrideKey: "remove it; proxy.istio.io/config has the settings of the bootstrap",
}

const envoyLevels = "trace|debug|info|warning|warn|error|critical|off"

var (
	logLevel          = regexp.MustCompile(`^(` + envoyLevels + `)$`)
	componentLogLevel = regexp.MustCompile(`^[a-z0-9_]+:(` + envoyLevels + `)(,[a-z0-9_]+:(` + envoyLevels + `))*$`)
	agentLogLevel     = regexp.MustCompile(`^([a-zA-Z0-9_-]+:)?(none|fatal|error|warn|info|debug)(,[a-zA-Z0-9_-]+:(none|fatal|error|warn|info|debug))*$`)
	imageType         = regexp.MustCompile(`^(default|distroless|debug)$`)
	imageReference    = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._/:@-]*$`)
	interfaceName     = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,15}$`)
	address           = regexp.MustCompile(`^(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9._-]+):[0-9]{1,5}$`)
)

// annotations reads the pod's settings one by one and gathers what is wrong with them.
type annotations struct {
	values   map[string]string
	problems []Problem
}

func (a *annotations) refuse(key, text, fix string) {
	a.problems = append(a.problems, Problem{Annotation: key, Value: a.values[key], Text: text, Fix: fix})
}

func (a *annotations) boolean(key string, otherwise bool) bool {
	value, ok := a.values[key]
	if !ok {
		return otherwise
	}
	b, err := strconv.ParseBool(value)
	if err != nil {
		a.refuse(key, "not a boolean", "use \"true\" or \"false\"")
	}
	return b
}

// number is a whole number from least to most.
func (a *annotations) number(key string, least, most, otherwise int32) int32 {
	value, ok := a.values[key]
	if !ok {
		return otherwise
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || n < int64(least) || n > int64(most) {
		a.refuse(key, "not a number in range", fmt.Sprintf("use a whole number from %d to %d", least, most))
		return otherwise
	}
	return int32(n)
}

func (a *annotations) matching(key string, form *regexp.Regexp, otherwise, fix string) string {
	value, ok := a.values[key]
	if !ok {
		return otherwise
	}
	if !form.MatchString(value) {
		a.refuse(key, "not in the expected form", fix)
	}
	return value
}

func (a *annotations) quantity(key string) (resource.Quantity, bool) {
	value, ok := a.values[key]
	if !ok {
		return resource.Quantity{}, false
	}
	q, err := resource.ParseQuantity(value)
	if err != nil || q.Sign() < 0 {
		a.refuse(key, "not a quantity", "use a Kubernetes quantity such as 100m or 128Mi")
		return resource.Quantity{}, false
	}
	return q, true
}

// list is a comma-separated list whose items all pass ok, with its spaces taken out. everything allows "*".
func (a *annotations) list(key string, meshWide *string, everything bool, ok func(string) bool, fix string) string {
	value, said := a.values[key]
	if !said && meshWide != nil {
		value = *meshWide
	} else if !said && everything {
		value = "*"
	}
	value = strings.ReplaceAll(value, " ", "")
	if value == "" || (everything && value == "*") {
		return value
	}
	items := strings.Split(value, ",")
	if bad := slices.IndexFunc(items, func(s string) bool { return !ok(s) }); bad >= 0 {
		a.problems = append(a.problems, Problem{
			Annotation: key, Value: value,
			Text: fmt.Sprintf("%q does not belong there", shortened(items[bad])), Fix: fix,
		})
		return ""
	}
	return strings.Join(items, ",")
}

func (a *annotations) ports(key string, meshWide *string, everything bool) string {
	fix := "use port numbers such as 8080,9090"
	if everything {
		fix += ", or * for all"
	}
	return a.list(key, meshWide, everything, isPort, fix)
}

func (a *annotations) cidrs(key string, meshWide *string, everything bool) string {
	fix := "use CIDRs such as 10.0.0.0/8"
	if everything {
		fix += ", or * for all"
	}
	return a.list(key, meshWide, everything, isCIDR, fix)
}

func (a *annotations) interfaces(key string, meshWide *string) string {
	return a.list(key, meshWide, false, interfaceName.MatchString, "use interface names such as net1,net2")
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && s == strconv.FormatUint(n, 10)
}

func isCIDR(s string) bool {
	_, err := netip.ParsePrefix(s)
	return err == nil
}
