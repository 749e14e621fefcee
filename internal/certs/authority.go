// Package certs makes and reads the certificates of a mesh: a root, an intermediate authority for each cluster, workload and
// server certificates, and the files that hold them. istiod's certificate authority and `isthmus cert` stand on it. It is pure:
// time and randomness are arguments, and it reads or writes no file and no Secret.
package certs

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// clockSkew is how far NotBefore lies back, so that a peer whose clock is a little late takes a fresh certificate.
const clockSkew = 2 * time.Minute

// Authority is a certificate authority that can sign: a certificate with its key and the way up to the roots. It is immutable
// and safe for concurrent use. Only checked sets become one, see ParseAuthority.
type Authority struct {
	cert          *x509.Certificate
	key           crypto.Signer
	intermediates []*x509.Certificate // cert and what is above it, without roots; empty when cert is a root
	roots         trust.Bundle
	notAfter      time.Time // when the first certificate of the way up expires
	rootNotAfter  time.Time // when the last one of it does
}

// Certificate is the certificate that signs.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// Roots are the roots that peers must trust.
func (a *Authority) Roots() trust.Bundle { return a.roots }

// Intermediates go behind a leaf in its chain, nearest first; empty when a root signs.
func (a *Authority) Intermediates() []*x509.Certificate { return slices.Clone(a.intermediates) }

// NotAfter is when the first certificate between the signing one and the root expires; nothing signed lives longer.
func (a *Authority) NotAfter() time.Time { return a.notAfter }

// RootNotAfter is when the root expires that the signing certificate leads to.
func (a *Authority) RootNotAfter() time.Time { return a.rootNotAfter }

// Equal reports whether both sign with the same certificate under the same chain and roots.
func (a *Authority) Equal(b *Authority) bool {
	return a.cert.Equal(b.cert) && a.roots.Equal(b.roots) &&
		slices.EqualFunc(a.intermediates, b.intermediates, (*x509.Certificate).Equal)
}

// Template says what a new root or intermediate looks like. Now and Random must be set.
type Template struct {
	Organization string        // default: Istio, as the guides' Makefile has it
	CommonName   string        // default: Root CA, or Intermediate CA
	Locality     string        // the cluster of an intermediate; default none
	DNSNames     []string      // of an intermediate
	TTL          time.Duration // default 10 years; an intermediate never outlives what is above it
	KeySize      KeySize       // default RSA4096
	Now          time.Time
	Random       io.Reader
}

func (t Template) withDefaults(commonName string) Template {
	if t.Organization == "" {
		t.Organization = "Istio"
	}
	if t.CommonName == "" {
		t.CommonName = commonName
	}
	if t.TTL == 0 {
		t.TTL = 3650 * 24 * time.Hour
	}
	if t.KeySize == 0 {
		t.KeySize = RSA4096
	}
	return t
}

// certificate is the part that roots and intermediates share: subject, validity and usages of install.md section 2.3, which
// are those of Istio's own Makefile.
func (t Template) certificate() (*x509.Certificate, error) {
	serial, err := newSerial(t.Random)
	if err != nil {
		return nil, err
	}
	subject := pkix.Name{Organization: []string{t.Organization}, CommonName: t.CommonName}
	if t.Locality != "" {
		subject.Locality = []string{t.Locality}
	}
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               subject,
		NotBefore:             t.Now.Add(-clockSkew),
		NotAfter:              t.Now.Add(t.TTL),
		BasicConstraintsValid: true,
		IsCA:                  true,
		DNSNames:              t.DNSNames,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment |
			x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
	}, nil
}

// NewRoot makes a self-signed authority.
func NewRoot(t Template) (*Authority, error) {
	t = t.withDefaults("Root CA")
	key, err := NewKey(t.Random, t.KeySize)
	if err != nil {
		return nil, fmt.Errorf("make root key: %w", err)
	}
	template, err := t.certificate()
	if err != nil {
		return nil, err
	}
	template.MaxPathLen = -1 // no limit
	cert, err := create(t.Random, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign root: %w", err)
	}
	return &Authority{cert: cert, key: key, roots: trust.NewBundle(cert), notAfter: cert.NotAfter, rootNotAfter: cert.NotAfter}, nil
}

// NewIntermediate makes an authority below a: the one of a cluster. It signs workloads, but no authority of its own.
func (a *Authority) NewIntermediate(t Template) (*Authority, error) {
	t = t.withDefaults("Intermediate CA")
	if a.cert.MaxPathLen == 0 && a.cert.MaxPathLenZero {
		return nil, fmt.Errorf("%s may sign no further authority (its path length is 0)", a.cert.Subject)
	}
	key, err := NewKey(t.Random, t.KeySize)
	if err != nil {
		return nil, fmt.Errorf("make intermediate key: %w", err)
	}
	template, err := t.certificate()
	if err != nil {
		return nil, err
	}
	if template.NotAfter.After(a.notAfter) {
		template.NotAfter = a.notAfter
	}
	template.MaxPathLen, template.MaxPathLenZero = 0, true
	cert, err := create(t.Random, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("sign intermediate: %w", err)
	}
	return &Authority{
		cert:          cert,
		key:           key,
		intermediates: append([]*x509.Certificate{cert}, a.intermediates...),
		roots:         a.roots,
		notAfter:      cert.NotAfter,
		rootNotAfter:  a.rootNotAfter,
	}, nil
}

// create signs a certificate and reads it back.
func create(random io.Reader, template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(random, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newSerial returns a random positive number of 128 bits at most.
func newSerial(random io.Reader) (*big.Int, error) {
	if random == nil {
		return nil, errors.New("no source of randomness")
	}
	var bits [16]byte
	for {
		if _, err := io.ReadFull(random, bits[:]); err != nil {
			return nil, fmt.Errorf("make serial number: %w", err)
		}
		if serial := new(big.Int).SetBytes(bits[:]); serial.Sign() > 0 {
			return serial, nil
		}
	}
}

// encodeAll returns the certificates as PEM, in their order.
func encodeAll(certs []*x509.Certificate) []byte {
	var out bytes.Buffer
	for _, cert := range certs {
		out.Write(trust.EncodeCertificate(cert.Raw))
	}
	return out.Bytes()
}
