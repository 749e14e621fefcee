package authn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	authv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// Keys under which API servers tell what a token is bound to.
const (
	extraPod    = "authentication.kubernetes.io/pod-name"
	extraPodUID = "authentication.kubernetes.io/pod-uid"
	extraNode   = "authentication.kubernetes.io/node-name"
)

// serviceAccounts is the group that every service account is in.
const serviceAccounts = "system:serviceaccounts"

// byToken has the caller's API server review its token. Only successes are remembered, and not for long.
func (a *Authenticator) byToken(ctx context.Context) (Caller, error) {
	token, cluster, err := a.credential(ctx)
	if err != nil {
		return Caller{}, err
	}
	reviewer, ok := a.options.Reviewers(cluster)
	if !ok {
		known := slices.Sorted(slices.Values(a.options.Clusters()))
		return Caller{}, fmt.Errorf("cluster %q is not known here, only %s; is its remote secret applied?", cluster, strings.Join(known, ", "))
	}
	// The lookup follows the question whether the cluster is known: a token of a cluster that left is no longer believed.
	key := cacheKey(cluster, token)
	if caller, ok := a.cache.get(key, a.options.Now()); ok {
		return caller, nil
	}
	caller, err := a.review(ctx, reviewer, token)
	if err != nil {
		return Caller{}, fmt.Errorf("cluster %s: %w", cluster, err)
	}
	caller.Cluster = cluster
	a.cache.put(key, caller, a.options.Now())
	return caller, nil
}

// review asks an API server about a token.
func (a *Authenticator) review(ctx context.Context, reviewer TokenReviewer, token string) (Caller, error) {
	ctx, cancel := context.WithTimeout(ctx, a.options.ReviewTimeout)
	defer cancel()
	question := &authv1.TokenReview{Spec: authv1.TokenReviewSpec{Token: token, Audiences: a.options.Audiences}}
	answer, err := reviewer.Create(ctx, question, metav1.CreateOptions{})
	if err != nil {
		return Caller{}, fmt.Errorf("its API server could not review the token: %s", withoutToken(err.Error(), token))
	}
	caller, err := callerOf(answer.Status, a.options.Domain, a.options.Audiences)
	if err != nil {
		return Caller{}, errors.New(withoutToken(err.Error(), token))
	}
	return caller, nil
}

// callerOf reads an API server's answer.
func callerOf(s authv1.TokenReviewStatus, domain trust.Domain, audiences []string) (Caller, error) {
	if !s.Authenticated {
		reason := s.Error
		if reason == "" {
			reason = "no reason given"
		}
		return Caller{}, fmt.Errorf("its API server does not accept the token: %s", reason)
	}
	// An API server that knows nothing of audiences leaves the list empty; the token is then good for that server only.
	if !slices.ContainsFunc(s.Audiences, func(audience string) bool { return slices.Contains(audiences, audience) }) {
		return Caller{}, fmt.Errorf("the token is not for audience %s (but for [%s])", strings.Join(audiences, " or "), strings.Join(s.Audiences, ", "))
	}
	if !slices.Contains(s.User.Groups, serviceAccounts) {
		return Caller{}, fmt.Errorf("user %q is not a service account", s.User.Username)
	}
	id, err := trust.FromUser(domain, s.User.Username)
	if err != nil {
		return Caller{}, err
	}
	return Caller{ID: id, Pod: first(s.User.Extra[extraPod]), PodUID: first(s.User.Extra[extraPodUID]), Node: first(s.User.Extra[extraNode])}, nil
}

func first(values authv1.ExtraValue) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// withoutToken takes the token out of a text that an API server wrote, since ours goes to logs and to the caller.
func withoutToken(text, token string) string { return strings.ReplaceAll(text, token, "[token]") }
