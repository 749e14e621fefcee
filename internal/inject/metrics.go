package inject

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const (
	promScrapeKey = "prometheus.io/scrape"
	promPathKey   = "prometheus.io/path"
	promPortKey   = "prometheus.io/port"
	promEnv       = "ISTIO_PROMETHEUS_ANNOTATIONS"
	mergedPath    = "/stats/prometheus"
)

// proxyPorts are bound by the proxy; the application's metrics cannot be there.
var proxyPorts = []string{"15000", "15001", "15004", "15006", "15008", "15020", "15021", "15053", "15090"}

// scrape is where the application's own metrics are, as the agent gets it.
type scrape struct {
	Scrape  string         `json:"scrape"`
	Path    string         `json:"path"`
	Port    string         `json:"port"`
	Targets []scrapeTarget `json:"targets,omitempty"`
}

type scrapeTarget struct {
	Port string `json:"port"`
	Path string `json:"path"`
}

// addMetricsMerge points Prometheus at the agent, which hands out its own, Envoy's and the application's metrics.
func addMetricsMerge(pod *corev1.Pod, proxy *corev1.Container, s settings) {
	if !s.merge {
		return
	}
	own := scrape{pod.Annotations[promScrapeKey], pod.Annotations[promPathKey], pod.Annotations[promPortKey], s.targets}
	if own.Scrape != "" || own.Path != "" || own.Port != "" || len(own.Targets) > 0 {
		proxy.Env = withEnv(proxy.Env, corev1.EnvVar{Name: promEnv, Value: mustJSON(own)})
	}
	annotate(pod, promScrapeKey, "true")
	annotate(pod, promPathKey, mergedPath)
	annotate(pod, promPortKey, strconv.Itoa(int(s.statusPort)))
}

// restoreScrape undoes addMetricsMerge with what the injected proxy was told.
func restoreScrape(pod *corev1.Pod, proxy *corev1.Container) {
	if pod.Annotations[promPathKey] != mergedPath {
		return
	}
	var own scrape
	if value := envOf(proxy, promEnv); value != "" && json.Unmarshal([]byte(value), &own) != nil {
		return
	}
	for key, value := range map[string]string{promScrapeKey: own.Scrape, promPathKey: own.Path, promPortKey: own.Port} {
		delete(pod.Annotations, key)
		if value != "" {
			pod.Annotations[key] = value
		}
	}
}

// scrapeTargets reads PORT:PATH,PORT:PATH.
func (a *annotations) scrapeTargets() []scrapeTarget {
	value, said := a.values[scrapeTargetsKey]
	if !said || value == "" {
		return nil
	}
	var targets []scrapeTarget
	for _, item := range strings.Split(value, ",") {
		port, path, _ := strings.Cut(strings.TrimSpace(item), ":")
		switch {
		case !isPort(port):
			a.refuse(scrapeTargetsKey, fmt.Sprintf("%q does not start with a port", shortened(item)), "use PORT:PATH,..., such as 8080:/metrics")
		case slices.Contains(proxyPorts, port):
			a.refuse(scrapeTargetsKey, "port "+port+" is the proxy's own", "name a port of the application")
		case path != "" && !strings.HasPrefix(path, "/"):
			a.refuse(scrapeTargetsKey, fmt.Sprintf("path %q does not start with a slash", shortened(path)), "use PORT:PATH,..., such as 8080:/metrics")
		}
		targets = append(targets, scrapeTarget{port, path})
	}
	return targets
}
