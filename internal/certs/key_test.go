package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"testing"
	"time"
)

// encodings are all forms of PEM that a key of its kind comes in.
func encodings(t *testing.T, key crypto.Signer) map[string][]byte {
	t.Helper()
	pkcs8, err := EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string][]byte{"PKCS8": pkcs8}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		forms["PKCS1"] = pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		sec1 := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
		forms["SEC1"] = sec1
		forms["SEC1 with parameters"] = append([]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"), sec1...)
	}
	return forms
}

func TestSignRefusesKeysThatEnvoyCannotUse(t *testing.T) {
	t.Parallel()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	csr := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	_, err = newRoot(t).Sign(Request{CSR: csr, ID: curl, TTL: time.Hour, Now: now, Random: rand.Reader})
	if !errors.Is(err, ErrRequest) {
		t.Errorf("ed25519: %v", err)
	}
}
