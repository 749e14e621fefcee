// Package agent puts together what runs in a pod beside Envoy: certificates, the xDS pass-through, DNS, the status server,
// and Envoy itself as its child. The command agent runs it. It holds no logic of the mesh.
package agent

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	meshv1alpha1 "istio.io/api/mesh/v1alpha1"

	"github.com/isthmus-mesh/isthmus/internal/bootstrap"
	"github.com/isthmus-mesh/isthmus/internal/sds"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

// Options of an agent. Defaults fills in the paths and ports of an injected pod; what a pod knows about itself is read from
// Environ, as the injector writes it.
type Options struct {
	Kind    bootstrap.Kind
	Domain  string   // DNS domain of the pod's namespace; from the namespace if empty
	Environ []string // NAME=value

	Envoy       string // path of the binary
	ConfigDir   string // where the bootstrap, the xDS socket and the saved certificate live; on a memory volume
	PodInfoDir  string // holds the downward API's files labels and annotations
	TokenFile   string // the pod's service account token; read again for every request
	XDSRootFile string // roots that the control plane's certificate must come from; SYSTEM for the operating system's
	CARootFile  string // likewise for the certificate authority
	SDSSocket   string
	ResolvConf  string

	DNSAddresses   []string // where DNS queries are redirected to
	StatusAddress  string   // where readiness, probes and metrics are served; from ProxyConfig.statusPort, else :15020, if empty
	Bind           string   // address of Envoy's two static listeners
	AdminPort      uint32   // from ProxyConfig.proxyAdminPort, else 15000, if 0
	ReadyPort      uint32
	PrometheusPort uint32

	LogLevel          string // of Envoy
	ComponentLogLevel string // of Envoy
	Concurrency       int    // Envoy's worker threads; below 0 for what the ProxyConfig or the CPU limit says

	// PlainText speaks to the control plane without TLS. For tests: only loopback addresses are allowed then.
	PlainText bool

	EnvoyOutput io.Writer // where Envoy's log goes; os.Stderr if nil
	Log         *slog.Logger
}

// Defaults are those of an injected pod, with the overrides that the environment names.
func Defaults(environ []string) Options {
	env := environment(environ)
	return Options{
		Kind:           bootstrap.Sidecar,
		Environ:        environ,
		Envoy:          env.get("ENVOY_BIN", "/usr/local/bin/envoy"),
		ConfigDir:      "/etc/istio/proxy",
		PodInfoDir:     "/etc/istio/pod",
		TokenFile:      "/var/run/secrets/tokens/istio-token",
		XDSRootFile:    env.get("XDS_ROOT_CA", "/var/run/secrets/istio/root-cert.pem"),
		CARootFile:     env.get("CA_ROOT_CA", "/var/run/secrets/istio/root-cert.pem"),
		SDSSocket:      "/var/run/secrets/workload-spiffe-uds/socket",
		ResolvConf:     "/etc/resolv.conf",
		ReadyPort:      bootstrap.ReadyPort,
		PrometheusPort: bootstrap.PrometheusPort,
		LogLevel:       "warning",
		Concurrency:    -1,
	}
}

func (o Options) xdsSocket() string { return filepath.Join(o.ConfigDir, "XDS") }

// withConfig fills in the ports that the pod's ProxyConfig may choose.
func (o Options) withConfig(config *meshv1alpha1.ProxyConfig) Options {
	if o.StatusAddress == "" {
		o.StatusAddress = fmt.Sprintf(":%d", positive(config.GetStatusPort(), bootstrap.StatusPort))
	}
	if o.AdminPort == 0 {
		o.AdminPort = positive(config.GetProxyAdminPort(), bootstrap.AdminPort)
	}
	return o
}

func positive(port int32, other uint32) uint32 {
	if port > 0 {
		return uint32(port)
	}
	return other
}

// facts reads what the pod knows about itself.
func (o Options) facts() (bootstrap.Facts, error) {
	f, err := bootstrap.ParseFacts(o.Kind, o.Environ, o.podInfo("labels"), o.podInfo("annotations"))
	if err != nil {
		return f, err
	}
	if o.Domain != "" {
		f.Domain = o.Domain
	}
	if len(f.IPs) == 0 {
		f.IPs = localAddresses()
	}
	f.Version = version.Version
	return f, nil
}

// podInfo is a file of the downward API; outside a pod there is none.
func (o Options) podInfo(name string) string {
	text, err := os.ReadFile(filepath.Join(o.PodInfoDir, name))
	if err != nil {
		o.Log.Debug("no pod information", "err", err)
		return ""
	}
	return string(text)
}

// localAddresses are the addresses of this host but loopback and link-local ones.
func localAddresses() []string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range addresses {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
			out = append(out, ip.IP.String())
		}
	}
	return out
}

// variables is the environment by name.
type variables map[string]string

func environment(environ []string) variables {
	env := variables{}
	for _, line := range environ {
		name, value, _ := strings.Cut(line, "=")
		env[name] = value
	}
	return env
}

func (v variables) get(name, other string) string {
	if value := v[name]; value != "" {
		return value
	}
	return other
}

// lifetime of certificates to ask for: SECRET_TTL; 0 leaves it to the keeper.
func (v variables) lifetime() time.Duration {
	d, err := time.ParseDuration(v["SECRET_TTL"])
	if err != nil || d < 0 {
		return 0
	}
	return d
}

// keyType of the workload's key: WORKLOAD_KEY_TYPE is ECDSA or RSA.
func (v variables) keyType() sds.KeyType {
	if strings.EqualFold(v["WORKLOAD_KEY_TYPE"], "RSA") {
		return sds.RSA
	}
	return sds.ECDSA
}

// headers are the variables with a prefix, as gRPC headers: XDS_HEADER_foo=bar is foo: bar.
func (v variables) headers(prefix string) map[string]string {
	out := map[string]string{}
	for name, value := range v {
		if key, ok := strings.CutPrefix(name, prefix); ok {
			out[strings.ToLower(key)] = value
		}
	}
	return out
}
