// Package authn says who is calling: it turns the client certificate or the Kubernetes token of a gRPC call into a workload's
// identity. Discovery and the certificate authority ask it. It decides nothing about what a caller may do, and it never
// takes an identity from the content of a request.
package authn

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	authv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// DefaultAudience is what the agents' projected tokens are made for (Istio's TOKEN_AUDIENCES).
const DefaultAudience = "istio-ca"

// Caller is who calls. All but ID are empty for callers known by certificate, which does not tell them.
type Caller struct {
	ID      trust.ID
	Cluster string // the cluster whose API server vouches for the token
	Pod     string // the pod that the token is bound to
	PodUID  string
	Node    string // the Kubernetes node of that pod
}

// TokenReviewer is one cluster's API server, as far as tokens go. client-go's AuthenticationV1().TokenReviews() is one.
type TokenReviewer interface {
	Create(ctx context.Context, review *authv1.TokenReview, opts metav1.CreateOptions) (*authv1.TokenReview, error)
}

// Options are what an Authenticator needs. Domain, Cluster and Reviewers must be set.
type Options struct {
	// Domain is the mesh's trust domain. Certificates of others are refused; tokens of every cluster give identities in it.
	Domain trust.Domain
	// Cluster is the own cluster's ID, meant when a caller names none.
	Cluster string
	// Reviewers finds the API server that reviews the tokens of a cluster; false when the cluster is not known.
	Reviewers func(cluster string) (TokenReviewer, bool)
	// Clusters lists the IDs that Reviewers knows, for the error about one it does not. Nil lists the own one.
	Clusters func() []string
	// Audiences that tokens may be made for; one of them will do. Default: DefaultAudience.
	Audiences []string
	// CacheFor is how long a successful review is believed again without asking. Default: 1 min. It bounds how long a
	// token outlives its pod, so it stays short. Negative switches the cache off.
	CacheFor time.Duration
	// ReviewTimeout bounds one question to an API server. Default: 5 s.
	ReviewTimeout time.Duration
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if len(o.Audiences) == 0 {
		o.Audiences = []string{DefaultAudience}
	}
	if o.CacheFor == 0 {
		o.CacheFor = time.Minute
	}
	if o.ReviewTimeout == 0 {
		o.ReviewTimeout = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Clusters == nil {
		own := o.Cluster
		o.Clusters = func() []string { return []string{own} }
	}
	return o
}

// Authenticator finds out who calls. It is safe for concurrent use.
type Authenticator struct {
	options Options
	cache   *reviewCache
}

// New returns an Authenticator that works at once.
func New(options Options) *Authenticator {
	options = options.withDefaults()
	return &Authenticator{options: options, cache: newReviewCache(options.CacheFor)}
}

// errAbsent means that the call carries no credential of a kind, as opposed to a bad one.
var errAbsent = errors.New("none given")

// Authenticate returns the caller of a gRPC call: by its verified client certificate, else by its bearer token. The error is
// a gRPC status Unauthenticated that says why each way failed; it never holds the token.
func (a *Authenticator) Authenticate(ctx context.Context) (Caller, error) {
	caller, certErr := a.byCertificate(ctx)
	if certErr == nil {
		return caller, nil
	}
	caller, tokenErr := a.byToken(ctx)
	if tokenErr == nil {
		return caller, nil
	}
	return Caller{}, status.Errorf(codes.Unauthenticated, "cannot tell who calls: client certificate: %v; token: %v", certErr, tokenErr)
}

// byCertificate reads the identity of the leaf that the TLS handshake verified.
func (a *Authenticator) byCertificate(ctx context.Context) (Caller, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Caller{}, errAbsent
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return Caller{}, errAbsent
	}
	if len(info.State.VerifiedChains) == 0 {
		return Caller{}, errors.New("not verified")
	}
	id, err := IdentityOf(info.State.VerifiedChains[0][0])
	if err != nil {
		return Caller{}, err
	}
	if id.Domain() != a.options.Domain {
		return Caller{}, fmt.Errorf("%s is not in trust domain %s", id, a.options.Domain)
	}
	return Caller{ID: id}, nil
}

// IdentityOf returns the identity in a certificate. As SPIFFE's X.509 document asks, it must have exactly one URI name.
func IdentityOf(cert *x509.Certificate) (trust.ID, error) {
	if len(cert.URIs) != 1 {
		return trust.ID{}, fmt.Errorf("it has %d URI names, want one SPIFFE ID", len(cert.URIs))
	}
	return trust.ParseID(cert.URIs[0].String())
}

// credential returns the token of a call and the cluster that it is from.
func (a *Authenticator) credential(ctx context.Context) (token, cluster string, err error) {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, header := range md.Get("authorization") {
		for _, scheme := range []string{"Bearer ", "Istio "} {
			if len(header) > len(scheme) && strings.EqualFold(header[:len(scheme)], scheme) {
				token = strings.TrimSpace(header[len(scheme):])
			}
		}
	}
	if token == "" {
		return "", "", errAbsent
	}
	cluster = a.options.Cluster
	if named := md.Get("clusterid"); len(named) > 0 && named[0] != "" {
		cluster = named[0]
	}
	return token, cluster, nil
}
