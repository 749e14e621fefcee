package webhook

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// envFromPath reads what a webhook's URL says about the pods behind it, as environment of their proxies:
// /inject/cluster/NAME/net/NETWORK, or the older /inject/:ENV:cluster=NAME:ENV:net=NETWORK. A slash in a value is
// written --slash--. A key without a value at the end says nothing.
func envFromPath(path string) (map[string]string, error) {
	rest := strings.Trim(strings.TrimPrefix(path, "/inject"), "/")
	if rest == "" {
		return nil, nil
	}
	env := map[string]string{}
	if pairs, old := strings.CutPrefix(rest, ":ENV:"); old {
		for _, pair := range strings.Split(pairs, ":ENV:") {
			if key, value, ok := strings.Cut(pair, "="); ok {
				env[envName(key)] = unslashed(value)
			}
		}
	} else {
		parts := strings.Split(rest, "/")
		for i := 0; i+1 < len(parts); i += 2 {
			env[envName(parts[i])] = unslashed(parts[i+1])
		}
	}
	for name := range env {
		if problems := validation.IsEnvVarName(name); len(problems) > 0 {
			return nil, fmt.Errorf("injection path: %q cannot be an environment variable; use /inject/cluster/NAME/net/NETWORK", name)
		}
	}
	return env, nil
}

func envName(key string) string {
	switch key {
	case "cluster":
		return "ISTIO_META_CLUSTER_ID"
	case "net":
		return "ISTIO_META_NETWORK"
	default:
		return strings.ToUpper(key)
	}
}

func unslashed(value string) string { return strings.ReplaceAll(value, "--slash--", "/") }
