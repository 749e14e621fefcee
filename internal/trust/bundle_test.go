package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"testing"
	"time"
)

func newRoot(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestBundleIsASet(t *testing.T) {
	t.Parallel()
	a, b := newRoot(t, "a"), newRoot(t, "b")
	ab, ba := NewBundle(a, b, a), NewBundle(b, a)
	if !ab.Equal(ba) || ab.Len() != 2 || ab.Fingerprint() != ba.Fingerprint() || !slices.Equal(ab.PEM(), ba.PEM()) {
		t.Error("order or repetition changed the bundle")
	}
	if ab.Equal(NewBundle(a)) || !ab.Contains(NewBundle(a)) || NewBundle(a).Contains(ab) {
		t.Error("subset and equality are mixed up")
	}
	if !NewBundle(a).Union(NewBundle(b)).Equal(ab) {
		t.Error("union misses a root")
	}
	if NewBundle(a).Fingerprint() != Fingerprint(a) || (Bundle{}).Fingerprint() != "" {
		t.Error("fingerprint of one root is not that root's")
	}
}

func TestParseBundleReadsWhatPEMWrites(t *testing.T) {
	t.Parallel()
	want := NewBundle(newRoot(t, "a"), newRoot(t, "b"))
	got, err := ParseBundle(want.PEM())
	if err != nil || !got.Equal(want) {
		t.Fatalf("got %v, %v", got, err)
	}
	text := want.PEM()
	for name, bad := range map[string][]byte{
		"empty":       nil,
		"no PEM":      []byte("hello"),
		"cut short":   text[:len(text)-40],
		"another key": []byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
	} {
		if _, err := ParseBundle(bad); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
}
