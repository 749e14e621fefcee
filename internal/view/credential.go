package view

import (
	"slices"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// RootsSuffix is the end of the names of Secrets, and of what proxies ask for, that hold only the authorities of clients.
const RootsSuffix = "-cacert"

// CertificateName is the name by which gateways ask for a server's certificate.
func CertificateName(s model.GatewayServer) string { return "kubernetes://" + s.CredentialName }

// RootsName is the name by which gateways ask for the authorities of a server's clients.
func RootsName(s model.GatewayServer) string { return CertificateName(s) + RootsSuffix }

// credentialClasses gives the class of the certificates that a gateway may have. Anybody can send labels: those of the pod
// count that runs under the proxy's name and service account, so that no other workload of a namespace comes by the keys of
// its gateway.
func credentialClasses(s *model.Snapshot, p Proxy) []Class {
	w := s.Workload(p.Cluster, p.Namespace, p.Name)
	if w == nil || w.ServiceAccount != p.ServiceAccount {
		return nil
	}
	return []Class{{Part: Credentials, Namespace: p.Namespace, Labels: gatewaysText(s, w.Labels)}}
}

// Credential is something that the gateways of a class get by name: a certificate with its key, or the authorities of
// clients.
type Credential struct {
	Name      string
	OfClients bool // the authorities; else the certificate
	*model.Credential
}

// CredentialsOf collects what the servers of a class need, from the class's own namespace only. What is missing or broken is
// left out: Envoy keeps what it has, and closes connections to a server that never had a certificate.
func CredentialsOf(s *model.Snapshot, c Class) []Credential {
	ns := s.Namespaces[c.Namespace]
	if ns == nil || len(ns.Credentials) == 0 {
		return nil
	}
	var found []Credential
	add := func(name string, roots bool, of *model.Credential) {
		if !slices.ContainsFunc(found, func(f Credential) bool { return f.Name == name }) {
			found = append(found, Credential{name, roots, of})
		}
	}
	for _, gw := range GatewaysOf(s, c) {
		for _, server := range gw.Servers {
			if !server.TLS.EndsTLS() {
				continue
			}
			own := ns.Credentials[server.CredentialName]
			if own != nil && own.Certificates != "" {
				add(CertificateName(server), false, own)
			}
			if roots := rootsOf(ns, server); roots != nil && roots.Roots != "" {
				add(RootsName(server), true, roots)
			}
		}
	}
	return found
}

// rootsOf finds the Secret with the authorities of a server's clients: the one beside the certificate's if there is such a
// one, whatever it holds, else the certificate's own.
func rootsOf(ns *model.Namespace, server model.GatewayServer) *model.Credential {
	if server.TLS != model.Mutual {
		return nil
	}
	if beside := ns.Credentials[server.CredentialName+RootsSuffix]; beside != nil {
		return beside
	}
	return ns.Credentials[server.CredentialName]
}
