package authn

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
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

var (
	domain = trust.MustDomain("cluster.local")
	curl   = trust.WorkloadID(domain, "sample", "curl")
)

// apiServer reviews tokens from a map, as a real one would.
type apiServer struct {
	tokens map[string]authv1.TokenReviewStatus
	down   error

	mu      sync.Mutex // guards reviews
	reviews int
}

func (s *apiServer) Create(_ context.Context, review *authv1.TokenReview, _ metav1.CreateOptions) (*authv1.TokenReview, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reviews++
	if s.down != nil {
		return nil, s.down
	}
	answer := review.DeepCopy()
	answer.Status = authv1.TokenReviewStatus{Error: "invalid bearer token " + review.Spec.Token}
	if known, ok := s.tokens[review.Spec.Token]; ok {
		answer.Status = known
	}
	return answer, nil
}

func account(user string, audiences []string, groups ...string) authv1.TokenReviewStatus {
	return authv1.TokenReviewStatus{
		Authenticated: true, Audiences: audiences,
		User: authv1.UserInfo{Username: user, Groups: groups, Extra: map[string]authv1.ExtraValue{
			extraPod: {"curl-1"}, extraPodUID: {"uid-1"}, extraNode: {"node-1"},
		}},
	}
}

func goodServer() *apiServer {
	istio := []string{"istio-ca"}
	return &apiServer{tokens: map[string]authv1.TokenReviewStatus{
		"good":         account("system:serviceaccount:sample:curl", istio, "system:serviceaccounts", "system:authenticated"),
		"tok-audience": account("system:serviceaccount:sample:curl", []string{"kubernetes"}, "system:serviceaccounts"),
		"unaware":      account("system:serviceaccount:sample:curl", nil, "system:serviceaccounts"),
		"tok-node":     account("system:node:n1", istio, "system:nodes"),
		"nogroup":      account("system:serviceaccount:sample:curl", istio, "system:authenticated"),
		"odd":          account("system:serviceaccount:sample", istio, "system:serviceaccounts"),
	}}
}

// harness is an Authenticator of cluster1 that knows cluster2 too.
func harness(local, remote *apiServer, clock func() time.Time) *Authenticator {
	servers := map[string]*apiServer{"cluster1": local, "cluster2": remote}
	return New(Options{
		Domain: domain, Cluster: "cluster1", Now: clock,
		Reviewers: func(cluster string) (TokenReviewer, bool) { s, ok := servers[cluster]; return s, ok && s != nil },
		Clusters:  func() []string { return []string{"cluster2", "cluster1"} },
	})
}

func TestTokensMayBeForAnyOfTheAudiences(t *testing.T) {
	t.Parallel()
	for audiences, good := range map[string]bool{"": false, "istio-ca": false, "kubernetes": true, "istio-ca,kubernetes": true} {
		server := goodServer()
		a := New(Options{
			Domain: domain, Cluster: "cluster1", Audiences: strings.FieldsFunc(audiences, func(r rune) bool { return r == ',' }),
			Reviewers: func(string) (TokenReviewer, bool) { return server, true },
		})
		if _, err := a.Authenticate(call("authorization", "Bearer tok-audience")); (err == nil) != good {
			t.Errorf("audiences %q: error %v for a token for kubernetes", audiences, err)
		}
	}
}

func call(pairs ...string) context.Context {
	return metadata.NewIncomingContext(context.Background(), metadata.Pairs(pairs...))
}

func TestTokensAreReviewedByTheirCluster(t *testing.T) {
	t.Parallel()
	remote := &apiServer{tokens: map[string]authv1.TokenReviewStatus{
		"remote": account("system:serviceaccount:sample:sleep", []string{"istio-ca"}, "system:serviceaccounts"),
	}}
	cases := []struct {
		name    string
		headers []string
		want    string // namespace/account@cluster, or a part of the error
	}{
		{"own cluster by default", []string{"authorization", "Bearer good"}, "sample/curl@cluster1"},
		{"own cluster by name", []string{"authorization", "Bearer good", "clusterid", "cluster1"}, "sample/curl@cluster1"},
		{"empty cluster", []string{"authorization", "Bearer good", "clusterid", ""}, "sample/curl@cluster1"},
		{"Istio's scheme", []string{"authorization", "Istio good"}, "sample/curl@cluster1"},
		{"remote", []string{"authorization", "Bearer remote", "clusterid", "cluster2"}, "sample/sleep@cluster2"},
		{"remote token here", []string{"authorization", "Bearer remote"}, "does not accept the token"},
		{"local token there", []string{"authorization", "Bearer good", "clusterid", "cluster2"}, "does not accept the token"},
		{"unknown cluster", []string{"authorization", "Bearer good", "clusterid", "mars"}, `cluster "mars" is not known here, only cluster1, cluster2`},
		{"wrong audience", []string{"authorization", "Bearer tok-audience"}, "not for audience istio-ca (but for [kubernetes])"},
		{"no audience in the answer", []string{"authorization", "Bearer unaware"}, "not for audience istio-ca"},
		{"a node", []string{"authorization", "Bearer tok-node"}, `"system:node:n1" is not a service account`},
		{"outside the group", []string{"authorization", "Bearer nogroup"}, "is not a service account"},
		{"odd user", []string{"authorization", "Bearer odd"}, "names no service account"},
		{"no credential", nil, "client certificate: none given; token: none given"},
		{"another scheme", []string{"authorization", "Basic good"}, "token: none given"},
		{"empty token", []string{"authorization", "Bearer  "}, "token: none given"},
	}
	for _, c := range cases {
		caller, err := harness(goodServer(), remote, time.Now).Authenticate(call(c.headers...))
		if err == nil {
			if got := caller.ID.Namespace() + "/" + caller.ID.ServiceAccount() + "@" + caller.Cluster; got != c.want {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
			if caller.Pod != "curl-1" || caller.PodUID != "uid-1" || caller.Node != "node-1" {
				t.Errorf("%s: bound to %+v", c.name, caller)
			}
			continue
		}
		if status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestErrorsNeverHoldTheToken(t *testing.T) {
	t.Parallel()
	server := goodServer()
	a := harness(server, nil, time.Now)
	_, refused := a.Authenticate(call("authorization", "Bearer s3cr3t"))
	server.down = errors.New(`post tokenreviews "s3cr3t": connection refused`)
	_, failed := a.Authenticate(call("authorization", "Bearer s3cr3t"))
	for _, err := range []error{refused, failed} {
		if err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("got %v", err)
		}
	}
}

func TestSuccessfulReviewsAreRememberedForAMinute(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	server := goodServer()
	a := harness(server, server, func() time.Time { return now })
	steps := []struct {
		after   time.Duration
		headers []string
		reviews int
	}{
		{0, []string{"authorization", "Bearer good"}, 1},
		{30 * time.Second, []string{"authorization", "Bearer good"}, 1},
		{0, []string{"authorization", "Bearer good", "clusterid", "cluster2"}, 2},
		{30 * time.Second, []string{"authorization", "Bearer good"}, 3},
		{0, []string{"authorization", "Bearer bad"}, 4},
		{0, []string{"authorization", "Bearer bad"}, 5},
	}
	for i, s := range steps {
		now = now.Add(s.after)
		_, _ = a.Authenticate(call(s.headers...))
		if server.reviews != s.reviews {
			t.Errorf("step %d: %d reviews, want %d", i, server.reviews, s.reviews)
		}
	}
}

func TestCacheStaysBounded(t *testing.T) {
	t.Parallel()
	c := newReviewCache(time.Minute)
	now := time.Unix(1000, 0)
	for i := range 3 * cacheSize {
		c.put(cacheKey("c", string(rune(i))+"x"), Caller{ID: curl}, now)
	}
	if len(c.reviews) > cacheSize || len(c.order) > cacheSize {
		t.Errorf("%d reviews, %d in order", len(c.reviews), len(c.order))
	}
	c.put(cacheKey("c", "late"), Caller{ID: curl}, now.Add(time.Hour))
	if len(c.reviews) != 1 {
		t.Errorf("%d expired reviews kept", len(c.reviews)-1)
	}
}

func certificate(t *testing.T, uris ...string) *x509.Certificate {
	t.Helper()
	cert := &x509.Certificate{}
	for _, text := range uris {
		uri, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		cert.URIs = append(cert.URIs, uri)
	}
	return cert
}

func TestCertificatesComeBeforeTokens(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name     string
		cert     *x509.Certificate
		verified bool
		want     string
	}{
		{"verified", certificate(t, "spiffe://cluster.local/ns/a/sa/b"), true, "spiffe://cluster.local/ns/a/sa/b"},
		{"not verified", certificate(t, "spiffe://cluster.local/ns/a/sa/b"), false, "not verified"},
		{"foreign domain", certificate(t, "spiffe://other/ns/a/sa/b"), true, "is not in trust domain cluster.local"},
		{"two names", certificate(t, "spiffe://cluster.local/ns/a/sa/b", "spiffe://cluster.local/ns/c/sa/d"), true, "2 URI names"},
		{"no workload", certificate(t, "spiffe://cluster.local/node"), true, "want spiffe://"},
	}
	for _, c := range cases {
		state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.cert}}
		if c.verified {
			state.VerifiedChains = [][]*x509.Certificate{{c.cert}}
		}
		tlsPeer := &peer.Peer{AuthInfo: credentials.TLSInfo{State: state}}
		a := harness(goodServer(), nil, time.Now)
		caller, err := a.Authenticate(peer.NewContext(context.Background(), tlsPeer))
		if caller.ID.String() != c.want && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, %v, want %s", c.name, caller, err, c.want)
		}
		// With a good token beside it, a bad certificate does not keep the caller out, and a good one wins.
		caller, err = a.Authenticate(peer.NewContext(call("authorization", "Bearer good"), tlsPeer))
		if err != nil || (c.want == caller.ID.String()) == (caller.ID == curl) {
			t.Errorf("%s with token: %v, %v", c.name, caller, err)
		}
	}
}

func TestHangingAPIServerDoesNotHoldTheCall(t *testing.T) {
	t.Parallel()
	a := New(Options{
		Domain: domain, Cluster: "c", ReviewTimeout: time.Millisecond,
		Reviewers: func(string) (TokenReviewer, bool) { return hanging{}, true },
	})
	if _, err := a.Authenticate(call("authorization", "Bearer "+rand.Text())); status.Code(err) != codes.Unauthenticated {
		t.Errorf("got %v", err)
	}
}

type hanging struct{}

func (hanging) Create(ctx context.Context, _ *authv1.TokenReview, _ metav1.CreateOptions) (*authv1.TokenReview, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
