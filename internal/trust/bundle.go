package trust

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Bundle is an immutable set of root certificates. The zero value is empty and trusts nobody. Order does not matter: bundles
// of the same certificates are equal and print the same.
type Bundle struct {
	roots []*x509.Certificate // sorted by DER, each once
}

// NewBundle returns the set of these roots.
func NewBundle(roots ...*x509.Certificate) Bundle {
	sorted := slices.Clone(roots)
	slices.SortFunc(sorted, func(a, b *x509.Certificate) int { return bytes.Compare(a.Raw, b.Raw) })
	return Bundle{roots: slices.CompactFunc(sorted, (*x509.Certificate).Equal)}
}

// ParseBundle reads the certificates of PEM text. Text without one, or with another kind of block, is an error.
func ParseBundle(text []byte) (Bundle, error) {
	certs, err := ParseCertificates(text)
	if err != nil {
		return Bundle{}, err
	}
	return NewBundle(certs...), nil
}

// ParseCertificates reads one or more certificates from PEM text, in their order.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for rest := text; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			if len(bytes.TrimSpace(rest)) > 0 && bytes.Contains(rest, []byte("-----BEGIN")) {
				return nil, fmt.Errorf("PEM block %d is cut short or damaged", len(certs)+1)
			}
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("PEM block %d is a %s, want CERTIFICATE", len(certs)+1, block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(certs)+1, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("no PEM certificate found")
	}
	return certs, nil
}

// Roots are the certificates; the caller must not change them.
func (b Bundle) Roots() []*x509.Certificate { return slices.Clone(b.roots) }

// Len is the number of certificates.
func (b Bundle) Len() int { return len(b.roots) }

// Pool is a new pool of the roots, as crypto/tls and crypto/x509 want it.
func (b Bundle) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	for _, root := range b.roots {
		pool.AddCert(root)
	}
	return pool
}

// PEM is the bundle as text, the same for equal bundles.
func (b Bundle) PEM() []byte {
	var out bytes.Buffer
	for _, root := range b.roots {
		out.Write(EncodeCertificate(root.Raw))
	}
	return out.Bytes()
}

// EncodeCertificate returns DER as a PEM block.
func EncodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// Equal reports whether both hold the same certificates.
func (b Bundle) Equal(other Bundle) bool {
	return slices.EqualFunc(b.roots, other.roots, (*x509.Certificate).Equal)
}

// Contains reports whether every root of other is in b too.
func (b Bundle) Contains(other Bundle) bool {
	for _, root := range other.roots {
		if !slices.ContainsFunc(b.roots, root.Equal) {
			return false
		}
	}
	return true
}

// Union is the set of both.
func (b Bundle) Union(other Bundle) Bundle {
	return NewBundle(slices.Concat(b.roots, other.roots)...)
}

// Fingerprint is the SHA-256 of a certificate as openssl prints it (AA:BB:...). For a bundle of one root it is that root's;
// of several, the hash over their hashes; of none, empty.
func (b Bundle) Fingerprint() string {
	switch len(b.roots) {
	case 0:
		return ""
	case 1:
		return Fingerprint(b.roots[0])
	}
	sum := sha256.New()
	for _, root := range b.roots {
		one := sha256.Sum256(root.Raw)
		sum.Write(one[:])
	}
	return colons(sum.Sum(nil))
}

// Fingerprint is the SHA-256 of one certificate as openssl x509 -fingerprint -sha256 prints it.
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return colons(sum[:])
}

func colons(sum []byte) string {
	text := strings.ToUpper(hex.EncodeToString(sum))
	pairs := make([]string, 0, len(sum))
	for i := 0; i < len(text); i += 2 {
		pairs = append(pairs, text[i:i+2])
	}
	return strings.Join(pairs, ":")
}
