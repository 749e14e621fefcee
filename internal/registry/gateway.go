package registry

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	networking "istio.io/api/networking/v1alpha3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// GatewayFrom trims a Gateway of Istio's API. A server that cannot be used becomes a problem, and the others still work.
//
// The protocol of a server's port is what the proxy sees: HTTPS that the gateway ends is HTTP, and what it passes
// through is TLS.
func GatewayFrom(meta *metav1.ObjectMeta, spec *networking.Gateway) *Gateway {
	out := &Gateway{Model: &model.Gateway{
		Namespace: meta.Namespace, Name: meta.Name,
		Selector: spec.GetSelector(),
		Created:  meta.CreationTimestamp.UTC(),
	}}
	for i, s := range spec.GetServers() {
		server, err := serverFrom(meta.Namespace, s)
		if err == nil && server.TLS.EndsTLS() {
			err = checkEnding(spec.GetSelector(), s.GetTls())
		}
		for _, host := range s.GetHosts() {
			if _, name := cutNamespace(host); !isHost(name) {
				out.Problems = append(out.Problems, fmt.Sprintf("server %d: host %q is left out: use a name, *.SUFFIX or *", i+1, host))
			}
		}
		if err == nil && len(server.Hosts) == 0 {
			err = errors.New("no host is left, so the server is left out")
		}
		if err != nil {
			out.Problems = append(out.Problems, fmt.Sprintf("server %d: %v", i+1, err))
			continue
		}
		if server.TLS.EndsTLS() && len(s.GetTls().GetCipherSuites()) > 0 {
			out.Problems = append(out.Problems, fmt.Sprintf("server %d: tls.cipherSuites is not served yet: the proxy's own list holds", i+1))
		}
		out.Model.Servers = append(out.Model.Servers, server)
	}
	return out
}

func serverFrom(namespace string, s *networking.Server) (model.GatewayServer, error) {
	out := model.GatewayServer{
		CredentialName: s.GetTls().GetCredentialName(),
		HTTPSRedirect:  s.GetTls().GetHttpsRedirect(),
		MinTLS:         model.TLSVersion(s.GetTls().GetMinProtocolVersion()),
		MaxTLS:         model.TLSVersion(s.GetTls().GetMaxProtocolVersion()),
	}
	port := s.GetPort()
	if port.GetNumber() == 0 || port.GetNumber() > 65535 {
		return out, fmt.Errorf("port number %d is not between 1 and 65535", port.GetNumber())
	}
	out.Port = model.Port{Name: port.GetName(), Number: uint16(port.GetNumber())}
	mode, err := tlsModeOf(s)
	if err != nil {
		return out, err
	}
	out.TLS = mode
	word := strings.ToLower(port.GetProtocol())
	protocol, ok := protocolNames[word]
	if !ok {
		return out, fmt.Errorf("protocol %q is not one of HTTP, HTTP2, GRPC, HTTPS, TLS, TCP", port.GetProtocol())
	}
	if word == "https" && (mode == model.Simple || mode == model.Mutual) {
		protocol = model.HTTP
	}
	if protocol == model.TLS && mode == model.NoTLS {
		return out, fmt.Errorf("protocol %s needs a tls section", port.GetProtocol())
	}
	out.Port.Protocol = protocol
	for _, host := range s.GetHosts() {
		ns, name := cutNamespace(host)
		if ns == "." {
			ns = namespace
		}
		if !isHost(name) {
			continue
		}
		out.Hosts = append(out.Hosts, name)
		out.HostNamespaces = append(out.HostNamespaces, ns)
	}
	return out, nil
}

// cutNamespace takes the namespace off a host of a server: NAMESPACE/NAME, or NAME alone.
func cutNamespace(host string) (namespace, name string) {
	if namespace, name, found := strings.Cut(host, "/"); found {
		return namespace, name
	}
	return "", host
}

// isHost says whether a host of a server is a name, *.SUFFIX or *. Envoy refuses a listener with any other wildcard.
func isHost(host string) bool {
	suffix := strings.TrimPrefix(host, "*.")
	return host == "*" || validation.IsDNS1123Subdomain(strings.ToLower(suffix)) == nil
}

// tlsModeOf reads the mode of a server. A tls section that only redirects to HTTPS is none.
func tlsModeOf(s *networking.Server) (model.TLSMode, error) {
	tls := s.GetTls()
	if tls == nil {
		return model.NoTLS, nil
	}
	switch mode := tls.GetMode(); mode {
	case networking.ServerTLSSettings_PASSTHROUGH:
		if word := strings.ToLower(s.GetPort().GetProtocol()); word != "https" && word != "tls" {
			return model.NoTLS, nil // PASSTHROUGH is the zero value, so a redirect says it without meaning it
		}
		return model.Passthrough, nil
	case networking.ServerTLSSettings_AUTO_PASSTHROUGH:
		return model.AutoPassthrough, nil
	case networking.ServerTLSSettings_SIMPLE:
		return model.Simple, nil
	case networking.ServerTLSSettings_MUTUAL:
		return model.Mutual, nil
	default:
		return model.NoTLS, fmt.Errorf("tls mode %s is not served yet: use PASSTHROUGH, AUTO_PASSTHROUGH, SIMPLE or MUTUAL", mode)
	}
}

// checkEnding refuses a server that ends TLS in a way that is not served. A demand on clients that nobody checks would let in
// those that it is to keep out.
func checkEnding(selector map[string]string, tls *networking.ServerTLSSettings) error {
	name := tls.GetCredentialName()
	unserved := unservedField(tls)
	lowest, highest := cmp.Or(tls.GetMinProtocolVersion(), networking.ServerTLSSettings_TLSV1_2), tls.GetMaxProtocolVersion()
	switch {
	case unserved != "":
		return fmt.Errorf("tls.%s is not served yet, so the server is left out: take it away, and give the certificate by credentialName", unserved)
	case name == "":
		return errors.New("tls.credentialName is empty: give the name of a Secret in the namespace of the gateway's pods")
	case strings.ContainsAny(name, "/:"):
		return fmt.Errorf("tls.credentialName %q is not the name of a Secret in the namespace of the gateway's pods", name)
	case strings.HasSuffix(name, rootsSuffix):
		return fmt.Errorf("tls.credentialName %q ends in %s, which is for the authorities of clients: name the Secret with the certificate", name, rootsSuffix)
	case highest != networking.ServerTLSSettings_TLS_AUTO && highest < lowest:
		return fmt.Errorf("tls.maxProtocolVersion %s is below the lowest version, %s", highest, lowest)
	case len(selector) == 0:
		return errors.New("certificates only go to gateways that are selected by labels: give the Gateway a selector")
	default:
		return nil
	}
}

// unservedField names a field that is set and would change what a server shows or demands.
func unservedField(tls *networking.ServerTLSSettings) string {
	switch {
	case tls.GetServerCertificate() != "" || tls.GetPrivateKey() != "" || len(tls.GetTlsCertificates()) > 0:
		return "serverCertificate"
	case tls.GetCaCertificates() != "":
		return "caCertificates"
	case tls.GetCaCrl() != "":
		return "caCrl"
	case len(tls.GetCredentialNames()) > 0:
		return "credentialNames"
	case tls.GetCaCertCredentialName() != "":
		return "caCertCredentialName"
	case len(tls.GetSubjectAltNames()) > 0:
		return "subjectAltNames"
	case len(tls.GetVerifyCertificateSpki()) > 0:
		return "verifyCertificateSpki"
	case len(tls.GetVerifyCertificateHash()) > 0:
		return "verifyCertificateHash"
	default:
		return ""
	}
}

// gatewaysOf gives the Gateways of a namespace of the own cluster, oldest first, and what is wrong with them.
func gatewaysOf(cluster model.Cluster, ns *namespace) (gateways []*model.Gateway, problems []model.Problem) {
	for _, object := range ns.kind(KindGateway).all() {
		g := object.(*Gateway)
		gateways = append(gateways, g.Model)
		for _, text := range g.Problems {
			ref := model.Ref{Cluster: cluster, Kind: "Gateway", Namespace: g.Model.Namespace, Name: g.Model.Name}
			problems = append(problems, model.Problem{Object: ref, Text: text})
		}
	}
	sortByAge(gateways, func(g *model.Gateway) (time.Time, string) { return g.Created, g.Name })
	return gateways, problems
}
