package sds

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	securityv1alpha1 "istio.io/api/security/v1alpha1"
)

const identity = "spiffe://cluster.local/ns/sample/sa/curl"

// authority signs in the test process, with a root made for it.
type authority struct {
	securityv1alpha1.UnimplementedIstioCertificateServiceServer
	key    *ecdsa.PrivateKey
	root   *x509.Certificate
	serial int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key: key, root: root, serial: 1}
}

func (a *authority) sign(_ context.Context, csrPEM []byte, lifetime time.Duration) ([]string, error) {
	block, _ := pem.Decode(csrPEM)
	if block == nil {
		return nil, errors.New("no PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, err
	}
	a.serial++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.serial), URIs: csr.URIs,
		NotBefore: time.Now().Add(-2 * time.Minute), NotAfter: time.Now().Add(lifetime), // dated back as istiod does
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, csr.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	return []string{certPEM(der), certPEM(a.root.Raw)}, nil
}

func certPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (a *authority) CreateCertificate(
	ctx context.Context, req *securityv1alpha1.IstioCertificateRequest,
) (*securityv1alpha1.IstioCertificateResponse, error) {
	chain, err := a.sign(ctx, []byte(req.GetCsr()), time.Duration(req.GetValidityDuration())*time.Second)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	return &securityv1alpha1.IstioCertificateResponse{CertChain: chain}, nil
}

func TestCertificateComesFromTheService(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ca")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	securityv1alpha1.RegisterIstioCertificateServiceServer(server, newAuthority(t))
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	sign := SignOver(func() (*grpc.ClientConn, error) {
		return grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	})
	for _, kind := range []KeyType{ECDSA, RSA} {
		k := NewKeeper(Options{Identity: identity, Sign: sign, KeyType: kind, Lifetime: time.Hour})
		if err := k.renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		secret, _ := k.Current()
		if got := secret.leaf.URIs[0].String(); got != identity {
			t.Errorf("identity %s, want %s", got, identity)
		}
		if left := time.Until(secret.Expires()); left > time.Hour || left < 50*time.Minute {
			t.Errorf("lives for %s, want an hour", left)
		}
		if k.TLSCertificate() == nil {
			t.Error("no certificate for TLS")
		}
	}
	server.Stop()
	k := NewKeeper(Options{Identity: identity, Sign: sign})
	if err := k.renew(t.Context()); status.Code(errors.Unwrap(err)) != codes.Unavailable {
		t.Errorf("error %v, want one that wraps Unavailable", err)
	}
}
