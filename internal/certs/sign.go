package certs

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// MaxTTL is the longest life of a workload's certificate (Istio's MAX_WORKLOAD_CERT_TTL).
const MaxTTL = 90 * 24 * time.Hour

// Why Sign refuses. Callers turn them into different answers.
var (
	ErrRequest = errors.New("certificate request") // the CSR cannot be read, is not self-consistent, or has a key too weak
	ErrTTL     = errors.New("lifetime")            // the lifetime asked for is not positive or over MaxTTL
	ErrExpired = errors.New("authority expired")   // the authority's own chain is at its end
)

// Request asks for a workload's certificate. All fields must be set.
type Request struct {
	CSR    []byte        // PEM; only its public key is used
	ID     trust.ID      // who the caller is known to be; the CSR's own names are ignored
	TTL    time.Duration // cut to what is left of the authority's chain
	Now    time.Time
	Random io.Reader
}

// Sign makes the certificate of a workload. Its only name is the identity, in a critical subject alternative name.
func (a *Authority) Sign(r Request) (*x509.Certificate, error) {
	if r.ID.IsZero() {
		return nil, errors.New("no identity to sign for")
	}
	if r.TTL <= 0 || r.TTL > MaxTTL {
		return nil, fmt.Errorf("%w %s: want more than 0 and at most %s", ErrTTL, r.TTL, MaxTTL)
	}
	public, err := publicKey(r.CSR)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return a.leaf(leaf{public: public, id: r.ID, ttl: r.TTL, now: r.Now, random: r.Random})
}

// publicKey returns the key of a CSR after checking that the sender holds its private half.
func publicKey(csr []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(csr)
	if block == nil || (block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST") {
		return nil, errors.New("no PEM certificate request found")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	if err := request.CheckSignature(); err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	return request.PublicKey, checkPublicKey(request.PublicKey)
}

// Certificate is an end entity's certificate with its chain and key.
type Certificate struct {
	Chain []*x509.Certificate // leaf first, then intermediates, without roots
	Key   crypto.Signer
}

// ServerRequest asks for a server's certificate, or for a workload's whose key is made here. Names or ID must be set.
type ServerRequest struct {
	DNSNames []string
	ID       trust.ID
	Subject  pkix.Name     // empty for servers of the mesh
	TTL      time.Duration // cut to what is left of the authority's chain
	KeySize  KeySize       // default P256
	Now      time.Time
	Random   io.Reader
}

// ServerCertificate makes a key and a certificate for it. istiod serves its ports with one.
func (a *Authority) ServerCertificate(r ServerRequest) (*Certificate, error) {
	if len(r.DNSNames) == 0 && r.ID.IsZero() {
		return nil, errors.New("no name to sign for")
	}
	if r.TTL <= 0 {
		return nil, fmt.Errorf("%w %s: want more than 0", ErrTTL, r.TTL)
	}
	if r.KeySize == 0 {
		r.KeySize = P256
	}
	key, err := NewKey(r.Random, r.KeySize)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	cert, err := a.leaf(leaf{
		public: key.Public(), id: r.ID, dnsNames: r.DNSNames, subject: r.Subject, ttl: r.TTL, now: r.Now, random: r.Random,
	})
	if err != nil {
		return nil, err
	}
	return &Certificate{Chain: append([]*x509.Certificate{cert}, a.intermediates...), Key: key}, nil
}

// leaf is what an end entity's certificate is made of.
type leaf struct {
	public   crypto.PublicKey
	id       trust.ID
	dnsNames []string
	subject  pkix.Name // empty makes crypto/x509 mark the alternative name critical, as SPIFFE wants it
	ttl      time.Duration
	now      time.Time
	random   io.Reader
}

func (a *Authority) leaf(l leaf) (*x509.Certificate, error) {
	if !l.now.Before(a.notAfter) {
		return nil, fmt.Errorf("%w at %s", ErrExpired, a.notAfter.UTC().Format(time.RFC3339))
	}
	serial, err := newSerial(l.random)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               l.subject,
		NotBefore:             l.now.Add(-clockSkew),
		NotAfter:              l.now.Add(l.ttl),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:              l.dnsNames,
	}
	if template.NotAfter.After(a.notAfter) {
		template.NotAfter = a.notAfter
	}
	if !l.id.IsZero() {
		uri, err := url.Parse(l.id.String())
		if err != nil {
			return nil, fmt.Errorf("identity %s: %w", l.id, err)
		}
		template.URIs = []*url.URL{uri}
	}
	cert, err := create(l.random, template, a.cert, l.public, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return cert, nil
}
