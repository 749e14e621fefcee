package ca

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	security "istio.io/api/security/v1alpha1"

	"github.com/isthmus-mesh/isthmus/internal/authn"
	"github.com/isthmus-mesh/isthmus/internal/certs"
	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// ServiceOptions are the settings of the signing service. All have defaults.
type ServiceOptions struct {
	DefaultTTL time.Duration // of requests that name none; default 24 h
	MinTTL     time.Duration // shorter ones are refused; default 10 s
	MaxTTL     time.Duration // longer ones are refused; default and upper bound 90 days
	Now        func() time.Time
	Random     io.Reader
	Log        *slog.Logger
}

func (o ServiceOptions) withDefaults() ServiceOptions {
	if o.DefaultTTL == 0 {
		o.DefaultTTL = 24 * time.Hour
	}
	if o.MinTTL == 0 {
		o.MinTTL = 10 * time.Second
	}
	if o.MaxTTL == 0 || o.MaxTTL > certs.MaxTTL {
		o.MaxTTL = certs.MaxTTL
	}
	if o.DefaultTTL > o.MaxTTL {
		o.DefaultTTL = o.MaxTTL
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Service is the gRPC service istio.v1.auth.IstioCertificateService. Register it with
// security.RegisterIstioCertificateServiceServer.
type Service struct {
	security.UnimplementedIstioCertificateServiceServer

	current      *Current
	authenticate func(context.Context) (authn.Caller, error)
	options      ServiceOptions
	metrics      *metrics
}

// NewService returns a service that signs with the current authority for the callers that authenticate knows.
func NewService(
	current *Current, authenticate func(context.Context) (authn.Caller, error), registry prometheus.Registerer, options ServiceOptions,
) *Service {
	options = options.withDefaults()
	return &Service{
		current: current, authenticate: authenticate, options: options, metrics: newMetrics(registry, current, options.Now),
	}
}

// CreateCertificate signs a workload's certificate. The answer is the leaf, each intermediate, and the roots as one last element.
func (s *Service) CreateCertificate(
	ctx context.Context, request *security.IstioCertificateRequest,
) (*security.IstioCertificateResponse, error) {
	s.metrics.requests.Inc()
	caller, err := s.authenticate(ctx)
	if err != nil {
		s.metrics.authenticationFailures.Inc()
		s.options.Log.Info("certificate refused", "reason", status.Convert(err).Message())
		return nil, status.Errorf(codes.Unauthenticated, "request authenticate failure: %s", status.Convert(err).Message())
	}
	if caller.ID.IsZero() {
		s.metrics.identityFailures.Inc()
		return nil, status.Error(codes.Unauthenticated, "request authenticate failure: the caller has no identity")
	}
	if other := request.GetMetadata().GetFields()["ImpersonatedIdentity"].GetStringValue(); other != "" {
		return nil, status.Errorf(codes.PermissionDenied, "%s may not ask for the certificate of %s", caller.ID, other)
	}
	ttl, err := s.lifetime(request.GetValidityDuration())
	if err != nil {
		s.metrics.signFailures.WithLabelValues("TTL_ERROR").Inc()
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	// One reading of the authority, so that leaf and chain belong together even when it is swapped meanwhile.
	authority := s.current.Authority()
	leaf, err := authority.Sign(certs.Request{
		CSR: []byte(request.GetCsr()), ID: caller.ID, TTL: ttl, Now: s.options.Now(), Random: s.options.Random,
	})
	if err != nil {
		return nil, s.refuse(caller, err)
	}
	s.metrics.issued.Inc()
	return &security.IstioCertificateResponse{CertChain: chainOf(leaf, authority)}, nil
}

// lifetime is what a request asks for in seconds, within the bounds; zero and less ask for the default.
func (s *Service) lifetime(seconds int64) (time.Duration, error) {
	if seconds <= 0 {
		return s.options.DefaultTTL, nil
	}
	// Compared in seconds, since a huge number would overflow a Duration.
	if seconds > int64(s.options.MaxTTL/time.Second) || time.Duration(seconds)*time.Second < s.options.MinTTL {
		return 0, fmt.Errorf("validity_duration of %d s: want %s to %s", seconds, s.options.MinTTL, s.options.MaxTTL)
	}
	return time.Duration(seconds) * time.Second, nil
}

// refuse counts why nothing was signed and turns it into a status: the codes are Istio's.
func (s *Service) refuse(caller authn.Caller, err error) error {
	code := codes.Internal
	switch {
	case errors.Is(err, certs.ErrRequest):
		s.metrics.requestFailures.Inc()
	case errors.Is(err, certs.ErrTTL):
		code = codes.InvalidArgument
		s.metrics.signFailures.WithLabelValues("TTL_ERROR").Inc()
	case errors.Is(err, certs.ErrExpired):
		s.metrics.signFailures.WithLabelValues("CA_NOT_READY").Inc()
	default:
		s.metrics.signFailures.WithLabelValues("CERT_GEN_ERROR").Inc()
	}
	s.options.Log.Warn("certificate not signed", "caller", caller.ID.String(), "cluster", caller.Cluster, "reason", err)
	return status.Error(code, err.Error())
}

// chainOf is the answer as agents expect it: at least two elements, the last one all roots.
func chainOf(leaf *x509.Certificate, authority *certs.Authority) []string {
	chain := []string{string(trust.EncodeCertificate(leaf.Raw))}
	for _, cert := range authority.Intermediates() {
		chain = append(chain, string(trust.EncodeCertificate(cert.Raw)))
	}
	return append(chain, string(authority.Roots().PEM()))
}
