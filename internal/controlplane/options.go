package controlplane

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"
)

// Options are the settings of one control plane process, from its flags and environment. What holds for the mesh is in
// the ConfigMap that it watches.
type Options struct {
	Kubeconfig string // empty: the pod's own service account
	Context    string // of the kubeconfig; empty: the current one

	Cluster   string // own cluster's name (CLUSTER_ID)
	Namespace string // where the control plane lives and remote Secrets are (POD_NAMESPACE)
	Revision  string // REVISION; empty means default
	PodName   string // POD_NAME
	Domain    string // suffix of service names

	// Where the process listens. Empty switches a server off.
	GRPCAddress       string // TLS: discovery and certificates
	WebhookAddress    string // HTTPS: injection
	HTTPAddress       string // readiness and debugging
	MonitoringAddress string // metrics, version and debugging

	NativeSidecars NativeSidecars // ENABLE_NATIVE_SIDECARS

	// PlaintextAddress serves discovery without TLS and without any check of who calls. It is for tests and must be a
	// loopback address.
	PlaintextAddress string

	TokenAudiences []string      // of callers' tokens, one will do (TOKEN_AUDIENCES); empty means istio-ca
	CustomHosts    []string      // further names in istiod's certificate (ISTIOD_CUSTOM_HOST)
	DefaultCertTTL time.Duration // of workloads that ask for none (DEFAULT_WORKLOAD_CERT_TTL)
	MaxCertTTL     time.Duration // MAX_WORKLOAD_CERT_TTL
}

// NativeSidecars says whether sidecars are init containers that go on, where a pod does not say it.
type NativeSidecars int

// The values: as the nodes of the own cluster can, or as the installation says.
const (
	Auto NativeSidecars = iota
	Always
	Never
)

// nativeSidecarsFrom reads Istio's words. One that is none of them leaves it to the nodes.
func nativeSidecarsFrom(word string) NativeSidecars {
	switch strings.ToLower(word) {
	case "true":
		return Always
	case "false":
		return Never
	default:
		return Auto
	}
}

// FromEnvironment gives the defaults, with what the pod's environment says in place of them.
func FromEnvironment() Options {
	return Options{
		Cluster:           env("CLUSTER_ID", "Kubernetes"),
		Namespace:         env("POD_NAMESPACE", "istio-system"),
		Revision:          env("REVISION", ""),
		PodName:           env("POD_NAME", hostname()),
		Domain:            "cluster.local",
		GRPCAddress:       ":15012",
		WebhookAddress:    ":15017",
		HTTPAddress:       ":8080",
		MonitoringAddress: ":15014",
		NativeSidecars:    nativeSidecarsFrom(os.Getenv("ENABLE_NATIVE_SIDECARS")),
		TokenAudiences:    list(os.Getenv("TOKEN_AUDIENCES")),
		CustomHosts:       list(os.Getenv("ISTIOD_CUSTOM_HOST")),
		DefaultCertTTL:    duration("DEFAULT_WORKLOAD_CERT_TTL", 24*time.Hour),
		MaxCertTTL:        duration("MAX_WORKLOAD_CERT_TTL", 90*24*time.Hour),
	}
}

func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "istiod"
	}
	return name
}

func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

func duration(name string, otherwise time.Duration) time.Duration {
	if d, err := time.ParseDuration(os.Getenv(name)); err == nil && d > 0 {
		return d
	}
	return otherwise
}

// Validate says what is wrong with the options, or nil.
func (o Options) Validate() error {
	if o.PlaintextAddress != "" {
		address, err := netip.ParseAddrPort(o.PlaintextAddress)
		if err != nil || !address.Addr().IsLoopback() {
			return fmt.Errorf("plain-text discovery on %q: only a loopback address with a port is allowed, such as 127.0.0.1:15010", o.PlaintextAddress)
		}
	}
	if o.Cluster == "" {
		return fmt.Errorf("the name of the own cluster is empty: set CLUSTER_ID or --cluster-id")
	}
	return nil
}
