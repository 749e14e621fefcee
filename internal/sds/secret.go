// Package sds gets a pod its certificate and hands it to Envoy. The key is made here and never leaves the pod; the certificate
// authority sees a signing request and the pod's token. The agent runs it. It knows nothing of how the authority is reached: that
// is a function it is given.
package sds

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Secret is a certificate with its key and the roots to check peers with. It does not change once made.
type Secret struct {
	Key   []byte // PEM, PKCS 8
	Chain []byte // PEM: the leaf, then the intermediates
	Roots []byte // PEM: one root or more

	leaf *x509.Certificate // first of Chain
}

// KeyType of a pod's key.
type KeyType int

// The key types. ECDSA is the default: it is an order of magnitude cheaper in handshakes.
const (
	ECDSA KeyType = iota // P-256
	RSA                  // 2048 bits
)

// Expires is when the leaf ends.
func (s *Secret) Expires() time.Time { return s.leaf.NotAfter }

// parseSecret puts a secret together and checks that key, leaf and roots belong together.
func parseSecret(key, chain, roots []byte) (*Secret, error) {
	leaf, err := firstCertificate(chain)
	if err != nil {
		return nil, fmt.Errorf("read certificate chain: %w", err)
	}
	if _, err := firstCertificate(roots); err != nil {
		return nil, fmt.Errorf("read root certificates: %w", err)
	}
	private, err := parseKey(key)
	if err != nil {
		return nil, err
	}
	public, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(private.Public()) {
		return nil, errors.New("the certificate is for another key")
	}
	return &Secret{Key: key, Chain: chain, Roots: roots, leaf: leaf}, nil
}

// fromAnswer reads the authority's answer: the leaf, any intermediates, and the root bundle as the last element.
func fromAnswer(key []byte, answer []string) (*Secret, error) {
	if len(answer) < 2 {
		return nil, fmt.Errorf("the certificate authority sent %d elements, want a certificate and the roots", len(answer))
	}
	var chain strings.Builder
	for _, cert := range answer[:len(answer)-1] {
		chain.WriteString(ensureNewline(cert))
	}
	return parseSecret(key, []byte(chain.String()), []byte(ensureNewline(answer[len(answer)-1])))
}

// request makes a key and a signing request for an identity (a SPIFFE ID).
func request(kind KeyType, identity string) (keyPEM, csrPEM []byte, err error) {
	id, err := url.Parse(identity)
	if err != nil {
		return nil, nil, fmt.Errorf("identity %q: %w", identity, err)
	}
	var key crypto.Signer
	switch kind {
	case ECDSA:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RSA:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		return nil, nil, fmt.Errorf("unknown key type %d", kind)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{id}}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("make signing request: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode key: %w", err)
	}
	keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	csrPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})
	return keyPEM, csrPEM, nil
}

func parseKey(text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("read key: no PEM block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("read key: a %T cannot sign", key)
	}
	return signer, nil
}

func firstCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no certificate in PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

func ensureNewline(s string) string {
	if strings.HasSuffix(s, "\n") {
		return s
	}
	return s + "\n"
}

// sameRoots says whether peers are checked alike with both secrets.
func sameRoots(a, b *Secret) bool { return a != nil && b != nil && bytes.Equal(a.Roots, b.Roots) }
