package ca

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/isthmus-mesh/isthmus/internal/certs"
	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// selfSignedType is the type of Secret istio-ca-secret, as Istio writes it.
const selfSignedType corev1.SecretType = "istio.io/ca-root"

// Secrets are where a cluster's authority lives. Client, Namespace and Domain must be set.
type Secrets struct {
	Client    kubernetes.Interface // of the own cluster
	Namespace string               // of the control plane
	Domain    trust.Domain         // organization of a self-signed root
	Now       func() time.Time     // default: time.Now
	Random    io.Reader            // default: crypto/rand
	Log       *slog.Logger         // default: none
}

func (s Secrets) withDefaults() Secrets {
	if s.Now == nil {
		s.Now = time.Now
	}
	if s.Random == nil {
		s.Random = rand.Reader
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	return s
}

// LoadOrCreate returns the cluster's authority: Secret cacerts when there is one, else istio-ca-secret, else a new self-signed
// root that it stores there. A Secret that is there but no good is an error that says what is wrong with which file; nothing
// else is used in its place.
func (s Secrets) LoadOrCreate(ctx context.Context) (*Current, error) {
	s = s.withDefaults()
	authority, source, err := s.load(ctx)
	if err != nil {
		return nil, err
	}
	if authority == nil {
		if authority, err = s.create(ctx); err != nil {
			return nil, err
		}
		source = SelfSigned
	}
	s.warnOfAnotherRoot(ctx, authority, source)
	s.Log.Info("certificate authority ready", "source", source, "root", authority.Roots().Fingerprint(), "notAfter", authority.NotAfter().UTC())
	return NewCurrent(authority, source), nil
}

// warnOfAnotherRoot says loudly that the mesh had another root before this start: workloads that hold certificates of it are cut
// off from those that get new ones. What the ConfigMap of the own namespace holds was written before.
func (s Secrets) warnOfAnotherRoot(ctx context.Context, authority *certs.Authority, source Source) {
	before, err := s.Client.CoreV1().ConfigMaps(s.Namespace).Get(ctx, RootConfigMap, metav1.GetOptions{})
	if err != nil {
		return // there is none yet, or it cannot be told: that is no reason not to start
	}
	roots, err := trust.ParseBundle([]byte(before.Data[certs.RootFile]))
	if err != nil || roots.Len() == 0 || overlap(roots, authority.Roots()) {
		return
	}
	fix := "if this was not meant, put the old authority back into secret " + string(source) + " and restart istiod; else restart all workloads"
	if source == SelfSigned {
		fix = "secret " + string(PluggedIn) + " is gone or was never there: put it back and restart istiod, or else restart all workloads"
	}
	s.Log.Error("the mesh had another root before this start, workloads with its certificates are cut off until they renew",
		"source", source, "old", roots.Fingerprint(), "new", authority.Roots().Fingerprint(), "fix", fix)
}

// load reads the authority; nil without an error when neither Secret is there.
func (s Secrets) load(ctx context.Context) (*certs.Authority, Source, error) {
	for _, source := range []Source{PluggedIn, SelfSigned} {
		secret, err := s.Client.CoreV1().Secrets(s.Namespace).Get(ctx, string(source), metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return nil, "", fmt.Errorf("read secret %s/%s: %w", s.Namespace, source, err)
		}
		authority, err := s.parse(secret, source)
		return authority, source, err
	}
	return nil, "", nil
}

// parse reads the authority in a Secret.
func (s Secrets) parse(secret *corev1.Secret, source Source) (*certs.Authority, error) {
	var authority *certs.Authority
	var problems []certs.Problem
	switch source {
	case PluggedIn:
		authority, problems = certs.ParseAuthority(secret.Data, s.Now())
	case SelfSigned:
		authority, problems = certs.ParseSelfSigned(secret.Data, certs.CertFile, certs.KeyFile, s.Now())
	default:
		panic("no such source: " + string(source))
	}
	if err := certs.Explain(problems); err != nil {
		return nil, fmt.Errorf("secret %s/%s is no usable certificate authority: %w", secret.Namespace, secret.Name, err)
	}
	return authority, nil
}

// create makes a self-signed root and stores it. When another replica was faster, its root is the one.
func (s Secrets) create(ctx context.Context) (*certs.Authority, error) {
	made, err := certs.NewRoot(certs.Template{
		Organization: s.Domain.String(), KeySize: certs.P256, Now: s.Now(), Random: s.Random,
	})
	if err != nil {
		return nil, fmt.Errorf("make a self-signed authority: %w", err)
	}
	files, err := made.Files()
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: string(SelfSigned), Namespace: s.Namespace},
		Type:       selfSignedType,
		Data:       map[string][]byte{certs.CertFile: files[certs.CertFile], certs.KeyFile: files[certs.KeyFile]},
	}
	_, err = s.Client.CoreV1().Secrets(s.Namespace).Create(ctx, secret, metav1.CreateOptions{})
	switch {
	case err == nil:
		return made, nil
	case !apierrors.IsAlreadyExists(err):
		return nil, fmt.Errorf("store the self-signed authority: %w", err)
	}
	winner, err := s.Client.CoreV1().Secrets(s.Namespace).Get(ctx, string(SelfSigned), metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read secret %s/%s: %w", s.Namespace, SelfSigned, err)
	}
	return s.parse(winner, SelfSigned)
}
