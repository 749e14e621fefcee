package ca

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/authn"
	"github.com/isthmus-mesh/isthmus/internal/certs"
	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// ServerNames are the DNS names that istiod is called by: its Services in the namespace, short and with the cluster's domain,
// and further hosts as they are (discoveryAddress, ISTIOD_CUSTOM_HOST). Revision may be empty.
func ServerNames(namespace, revision string, hosts ...string) []string {
	services := []string{"istiod", "istiod-remote", "istio-pilot"}
	if revision != "" && revision != "default" {
		services = append(services, "istiod-"+revision)
	}
	var names []string
	for _, service := range services {
		short := service + "." + namespace + ".svc"
		names = append(names, short, short+".cluster.local")
	}
	for _, host := range hosts {
		if host != "" && !slices.Contains(names, host) {
			names = append(names, host)
		}
	}
	return names
}

// ServingOptions are the settings of istiod's own certificate. Names must be set.
type ServingOptions struct {
	Names  []string      // see ServerNames
	TTL    time.Duration // default 90 days, cut to the chain's; made anew after half of it
	Now    func() time.Time
	Random io.Reader
	Log    *slog.Logger
}

func (o ServingOptions) withDefaults() ServingOptions {
	if o.TTL == 0 {
		o.TTL = certs.MaxTTL
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

// ServingCertificate is the TLS side of istiod's ports 15012 and 15017. It makes the certificate when a handshake finds that
// there is none for the current authority or half of its life is over, so it needs no goroutine and is never late.
type ServingCertificate struct {
	current *Current
	options ServingOptions

	mu       sync.Mutex // guards what follows
	config   *tls.Config
	from     *certs.Authority // what config was made from
	clients  trust.Bundle
	renewAt  time.Time
	attempts time.Time // when a failed renewal is tried again
}

// NewServingCertificate makes the first certificate, so a nil error means that the ports can be served.
func NewServingCertificate(current *Current, options ServingOptions) (*ServingCertificate, error) {
	s := &ServingCertificate{current: current, options: options.withDefaults()}
	if err := s.renew(); err != nil {
		return nil, fmt.Errorf("make istiod's serving certificate: %w", err)
	}
	return s, nil
}

// TLSConfig is for a listener. TLS 1.2 at least; a client needs no certificate, but one that it shows must come from a root of
// the mesh and name one SPIFFE identity. Certificate and client roots follow the authority from handshake to handshake.
func (s *ServingCertificate) TLSConfig() *tls.Config {
	config := s.latest().Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.latest(), nil }
	return config
}

// Leaf is the certificate that is served now.
func (s *ServingCertificate) Leaf() *x509.Certificate { return s.latest().Certificates[0].Leaf }

// latest is the configuration for a handshake that begins now. When a new certificate cannot be made, the old one stays, and
// the next attempt is a second away.
func (s *ServingCertificate) latest() *tls.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.options.Now()
	upToDate := s.from == s.current.Authority() && s.clients.Equal(s.current.ClientRoots()) && now.Before(s.renewAt)
	if upToDate || now.Before(s.attempts) {
		return s.config
	}
	if err := s.renewLocked(); err != nil {
		s.attempts = now.Add(time.Second)
		s.options.Log.Error("istiod's serving certificate could not be renewed, the old one stays", "reason", err)
	}
	return s.config
}

func (s *ServingCertificate) renew() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewLocked()
}

// renewLocked makes key, certificate and configuration. s.mu is held.
func (s *ServingCertificate) renewLocked() error {
	authority, clients, now := s.current.Authority(), s.current.ClientRoots(), s.options.Now()
	made, err := authority.ServerCertificate(certs.ServerRequest{
		DNSNames: s.options.Names, TTL: s.options.TTL, Now: now, Random: s.options.Random,
	})
	if err != nil {
		return err
	}
	certificate := tls.Certificate{PrivateKey: made.Key, Leaf: made.Chain[0]}
	for _, cert := range made.Chain {
		certificate.Certificate = append(certificate.Certificate, cert.Raw)
	}
	s.config = &tls.Config{
		MinVersion:       tls.VersionTLS12,
		Certificates:     []tls.Certificate{certificate},
		ClientAuth:       tls.VerifyClientCertIfGiven,
		ClientCAs:        clients.Pool(),
		VerifyConnection: verifyClient,
		NextProtos:       []string{"h2", "http/1.1"},
		Time:             s.options.Now,
	}
	s.from, s.clients = authority, clients
	s.renewAt = now.Add(made.Chain[0].NotAfter.Sub(now) / 2)
	s.attempts = time.Time{}
	s.options.Log.Info("serving certificate made", "names", s.options.Names, "notAfter", made.Chain[0].NotAfter.UTC())
	return nil
}

// verifyClient wants a SPIFFE identity in a client certificate that the handshake has verified.
func verifyClient(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	if _, err := authn.IdentityOf(state.PeerCertificates[0]); err != nil {
		return fmt.Errorf("client certificate: %w", err)
	}
	return nil
}
