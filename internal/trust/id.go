// Package trust holds the words of identity: trust domains, workload identities and bundles of root certificates, as values
// that cannot be invalid. Everybody who names a workload or a root uses it; it signs nothing and reads no file or clock.
package trust

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// DefaultDomain is the trust domain of a mesh that sets none (meshConfig.trustDomain).
const DefaultDomain = "cluster.local"

// Domain is a trust domain such as cluster.local. The zero value is no domain; values are comparable.
type Domain struct {
	name string
}

// ParseDomain returns the domain of that name. An @ reads as a dot, as Istio does for domains made from account names.
func ParseDomain(name string) (Domain, error) {
	td, err := spiffeid.TrustDomainFromString(strings.ReplaceAll(name, "@", "."))
	if err != nil {
		return Domain{}, fmt.Errorf("trust domain %q: %w", name, err)
	}
	return Domain{name: td.Name()}, nil
}

// MustDomain is ParseDomain for names that are constants; it panics on an invalid one.
func MustDomain(name string) Domain {
	d, err := ParseDomain(name)
	if err != nil {
		panic(err)
	}
	return d
}

// String is the domain's name.
func (d Domain) String() string { return d.name }

// IsZero reports whether d names no domain.
func (d Domain) IsZero() bool { return d.name == "" }

// ID is a workload's SPIFFE identity, spiffe://DOMAIN/ns/NAMESPACE/sa/SERVICEACCOUNT. The zero value is nobody; values are
// comparable and serve as map keys.
type ID struct {
	domain         Domain
	namespace      string
	serviceAccount string
}

// WorkloadID returns the identity of a service account. It is the zero ID, nobody, when a part is empty or cannot stand in a
// SPIFFE path, which no name that Kubernetes accepts does.
func WorkloadID(domain Domain, namespace, serviceAccount string) ID {
	if domain.IsZero() || spiffeid.ValidatePathSegment(namespace) != nil || spiffeid.ValidatePathSegment(serviceAccount) != nil {
		return ID{}
	}
	return ID{domain: domain, namespace: namespace, serviceAccount: serviceAccount}
}

// ParseID reads an identity as String prints it. Any other shape of SPIFFE ID is an error.
func ParseID(uri string) (ID, error) {
	parsed, err := spiffeid.FromString(uri)
	if err != nil {
		return ID{}, fmt.Errorf("identity %q: %w", uri, err)
	}
	parts := strings.Split(parsed.Path(), "/")
	if len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa" {
		return ID{}, fmt.Errorf("identity %q: want spiffe://DOMAIN/ns/NAMESPACE/sa/SERVICEACCOUNT", uri)
	}
	return ID{domain: Domain{name: parsed.TrustDomain().Name()}, namespace: parts[2], serviceAccount: parts[4]}, nil
}

// Domain is the trust domain that vouches for the identity.
func (id ID) Domain() Domain { return id.domain }

// Namespace is the Kubernetes namespace of the service account.
func (id ID) Namespace() string { return id.namespace }

// ServiceAccount is the service account's name.
func (id ID) ServiceAccount() string { return id.serviceAccount }

// IsZero reports whether id is nobody.
func (id ID) IsZero() bool { return id == ID{} }

// String is the SPIFFE URI, empty for nobody.
func (id ID) String() string {
	if id.IsZero() {
		return ""
	}
	return "spiffe://" + id.domain.name + "/ns/" + id.namespace + "/sa/" + id.serviceAccount
}

// Principal is the identity without its scheme, as authorization policies and access logs write it.
func (id ID) Principal() string { return strings.TrimPrefix(id.String(), "spiffe://") }

// serviceAccountUser is what Kubernetes puts before NAMESPACE:NAME in a service account's user name.
const serviceAccountUser = "system:serviceaccount:"

// FromUser returns the identity of a Kubernetes user name, which must be system:serviceaccount:NAMESPACE:NAME.
func FromUser(domain Domain, user string) (ID, error) {
	rest, ok := strings.CutPrefix(user, serviceAccountUser)
	if !ok {
		return ID{}, fmt.Errorf("user %q is not a service account", user)
	}
	namespace, name, ok := strings.Cut(rest, ":")
	if !ok {
		return ID{}, fmt.Errorf("user %q names no service account", user)
	}
	if domain.IsZero() {
		return ID{}, errors.New("no trust domain")
	}
	id := WorkloadID(domain, namespace, name)
	if id.IsZero() {
		return ID{}, fmt.Errorf("user %q is not a valid service account name", user)
	}
	return id, nil
}
