package certs

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/trust"
)

var (
	now  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	curl = trust.WorkloadID(trust.MustDomain("cluster.local"), "sample", "curl")
)

// template uses P-256, since RSA keys take seconds to make.
func template(name string) Template {
	return Template{Locality: name, KeySize: P256, Now: now, Random: rand.Reader}
}

func newRoot(t *testing.T) *Authority {
	t.Helper()
	root, err := NewRoot(template(""))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func newIntermediate(t *testing.T, root *Authority, name string) *Authority {
	t.Helper()
	ca, err := root.NewIntermediate(template(name))
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func filesOf(t *testing.T, a *Authority) map[string][]byte {
	t.Helper()
	files, err := a.Files()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func newCSR(t *testing.T, size KeySize, request x509.CertificateRequest) []byte {
	t.Helper()
	key, err := NewKey(rand.Reader, size)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &request, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func TestRootAndIntermediateLookLikeTheGuides(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	withSAN := template("cluster1")
	withSAN.DNSNames = []string{"istiod.istio-system.svc"}
	ca, err := root.NewIntermediate(withSAN)
	if err != nil {
		t.Fatal(err)
	}
	usage := x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign
	for _, c := range []struct {
		cert       *x509.Certificate
		subject    string
		pathLength int
	}{
		{root.Certificate(), "CN=Root CA,O=Istio", -1},
		{ca.Certificate(), "CN=Intermediate CA,O=Istio,L=cluster1", 0},
	} {
		if got := c.cert.Subject.String(); got != c.subject {
			t.Errorf("subject %q, want %q", got, c.subject)
		}
		if !c.cert.IsCA || c.cert.MaxPathLen != c.pathLength || c.cert.KeyUsage != usage || len(c.cert.SubjectKeyId) == 0 {
			t.Errorf("%s: CA %v, path length %d, usage %b", c.subject, c.cert.IsCA, c.cert.MaxPathLen, c.cert.KeyUsage)
		}
	}
	if got := ca.Certificate().DNSNames; !slices.Equal(got, withSAN.DNSNames) {
		t.Errorf("DNS names %v", got)
	}
	if _, err := ca.NewIntermediate(template("x")); err == nil {
		t.Error("an intermediate of path length 0 signed another authority")
	}
}

func TestIntermediateDoesNotOutliveItsRoot(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	long := template("cluster1")
	long.TTL = 100 * 365 * 24 * time.Hour
	ca, err := root.NewIntermediate(long)
	if err != nil {
		t.Fatal(err)
	}
	if !ca.NotAfter().Equal(root.NotAfter()) {
		t.Errorf("expires %s, root %s", ca.NotAfter(), root.NotAfter())
	}
}

func TestSignUsesOnlyTheKeyOfTheRequest(t *testing.T) {
	t.Parallel()
	ca := newIntermediate(t, newRoot(t), "cluster1")
	admin, _ := url.Parse("spiffe://cluster.local/ns/kube-system/sa/admin")
	csr := newCSR(t, P256, x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "admin"}, URIs: []*url.URL{admin}, DNSNames: []string{"kubernetes.default.svc"},
	})
	cert, err := ca.Sign(Request{CSR: csr, ID: curl, TTL: time.Hour, Now: now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	if len(cert.URIs) != 1 || cert.URIs[0].String() != curl.String() || len(cert.DNSNames) != 0 || cert.Subject.String() != "" {
		t.Errorf("names %v %v %q", cert.URIs, cert.DNSNames, cert.Subject)
	}
	if !cert.NotBefore.Equal(now.Add(-2*time.Minute)) || !cert.NotAfter.Equal(now.Add(time.Hour)) {
		t.Errorf("valid %s to %s", cert.NotBefore, cert.NotAfter)
	}
	if cert.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment || len(cert.ExtKeyUsage) != 2 || cert.IsCA {
		t.Errorf("usage %b %v, CA %v", cert.KeyUsage, cert.ExtKeyUsage, cert.IsCA)
	}
	critical := slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool {
		return e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) && e.Critical
	})
	if !critical {
		t.Error("the subject alternative name is not critical")
	}
	intermediates := x509.NewCertPool()
	intermediates.AddCert(ca.Intermediates()[0])
	if _, err := cert.Verify(x509.VerifyOptions{
		Roots: ca.Roots().Pool(), Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}); err != nil {
		t.Errorf("verify: %v", err)
	}
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	ca := newRoot(t)
	good := newCSR(t, P256, x509.CertificateRequest{})
	forged := func() []byte {
		block, _ := pem.Decode(good)
		der := bytes.Clone(block.Bytes)
		der[len(der)-1] ^= 1
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}()
	cases := []struct {
		name string
		csr  []byte
		ttl  time.Duration
		now  time.Time
		want error
	}{
		{"no PEM", []byte("x"), time.Hour, now, ErrRequest},
		{"forged signature", forged, time.Hour, now, ErrRequest},
		{"no lifetime", good, 0, now, ErrTTL},
		{"over 90 days", good, MaxTTL + time.Second, now, ErrTTL},
		{"authority expired", good, time.Hour, ca.NotAfter(), ErrExpired},
	}
	for _, c := range cases {
		if _, err := ca.Sign(Request{CSR: c.csr, ID: curl, TTL: c.ttl, Now: c.now, Random: rand.Reader}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := ca.Sign(Request{CSR: good, TTL: time.Hour, Now: now, Random: rand.Reader}); err == nil {
		t.Error("signed for nobody")
	}
}

func TestLeafEndsWithItsChain(t *testing.T) {
	t.Parallel()
	ca := newRoot(t)
	cert, err := ca.Sign(Request{
		CSR: newCSR(t, 2048, x509.CertificateRequest{}), ID: curl, TTL: 24 * time.Hour, Now: ca.NotAfter().Add(-time.Minute), Random: rand.Reader,
	})
	if err != nil || !cert.NotAfter.Equal(ca.NotAfter()) {
		t.Errorf("%v, %v", cert, err)
	}
}

func TestAuthorityReadsBackFromBothLayouts(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	for name, ca := range map[string]*Authority{"root": root, "intermediate": newIntermediate(t, root, "cluster1")} {
		tls, err := ca.TLSFiles()
		if err != nil {
			t.Fatal(err)
		}
		for layout, files := range map[string]map[string][]byte{"cacerts": filesOf(t, ca), "tls": tls} {
			got, problems := ParseAuthority(files, now)
			if problems != nil {
				t.Errorf("%s as %s: %v", name, layout, problems)
				continue
			}
			if !got.Equal(ca) || !got.NotAfter().Equal(ca.NotAfter()) || !got.RootNotAfter().Equal(root.NotAfter()) {
				t.Errorf("%s as %s: read another authority", name, layout)
			}
		}
	}
}

func TestIstioGeneratedNeedsOnlyThePair(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	files := filesOf(t, root)
	files[RootFile], files[ChainFile], files["istio-generated"] = nil, nil, nil
	if got, problems := ParseAuthority(files, now); problems != nil || !got.Equal(root) {
		t.Error(problems)
	}
}

func TestParseAuthorityNamesEveryMissingFile(t *testing.T) {
	t.Parallel()
	ca := newIntermediate(t, newRoot(t), "cluster1")
	tls, err := ca.TLSFiles()
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range []map[string][]byte{filesOf(t, ca), tls} {
		for name := range files {
			without := maps.Clone(files)
			delete(without, name)
			if a, problems := ParseAuthority(without, now); a != nil || len(problems) != 1 || problems[0].File != name || problems[0].Text != "missing" {
				t.Errorf("without %s: %v, %v", name, a, problems)
			}
			without[name] = nil
			if a, problems := ParseAuthority(without, now); a != nil || len(problems) != 1 || problems[0].Text != "empty" {
				t.Errorf("empty %s: %v, %v", name, a, problems)
			}
			without[name] = []byte("not PEM")
			if a, problems := ParseAuthority(without, now); a != nil || len(problems) == 0 || problems[0].File != name {
				t.Errorf("damaged %s: %v, %v", name, a, problems)
			}
		}
	}
	if _, problems := ParseAuthority(nil, now); len(problems) != 4 {
		t.Errorf("nothing at all: %v", problems)
	}
}

func TestParseAuthoritySaysWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	root, other := newRoot(t), newRoot(t)
	ca := newIntermediate(t, root, "cluster1")
	own, foreign := filesOf(t, ca), filesOf(t, newIntermediate(t, other, "cluster1"))
	swap := func(names ...string) map[string][]byte {
		mixed := maps.Clone(own)
		for _, name := range names {
			mixed[name] = foreign[name]
		}
		return mixed
	}
	leaf, err := root.ServerCertificate(ServerRequest{DNSNames: []string{"x"}, TTL: time.Hour, Now: now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	leafKey, err := EncodeKey(leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	notCA := maps.Clone(own)
	notCA[CertFile], notCA[KeyFile] = encodeAll(leaf.Chain), leafKey
	cases := []struct {
		name  string
		files map[string][]byte
		now   time.Time
		file  string
		text  string
	}{
		{"key of another", swap(KeyFile), now, KeyFile, "does not belong to the certificate in ca-cert.pem"},
		{"root of another", swap(RootFile), now, ChainFile, "does not lead from ca-cert.pem to root-cert.pem"},
		{"not a CA", notCA, now, CertFile, "is not a CA certificate"},
		{"expired", own, ca.NotAfter().Add(time.Second), CertFile, "expired at"},
		{"not yet", own, now.Add(-time.Hour), CertFile, "is not valid before"},
		{"too deep", tooDeep(t, root), now, ChainFile, "more authorities than a path length"},
	}
	for _, c := range cases {
		a, problems := ParseAuthority(c.files, c.now)
		if a != nil || len(problems) == 0 || problems[0].File != c.file || !strings.Contains(problems[0].Text, c.text) {
			t.Errorf("%s: %v, want %s: %s", c.name, problems, c.file, c.text)
		}
		if Explain(problems) == nil {
			t.Errorf("%s: no error", c.name)
		}
	}
}

// tooDeep is an authority under one that may have none below it.
func tooDeep(t *testing.T, root *Authority) map[string][]byte {
	t.Helper()
	lax := newIntermediate(t, root, "a")
	unlimited := *lax.cert
	unlimited.MaxPathLen, unlimited.MaxPathLenZero = -1, false
	lax = &Authority{cert: &unlimited, key: lax.key, intermediates: lax.intermediates, roots: lax.roots, notAfter: lax.notAfter}
	return filesOf(t, newIntermediate(t, lax, "b"))
}

func TestOldRootInTheBundleDoesNoHarm(t *testing.T) {
	t.Parallel()
	old := template("")
	old.Now = now.Add(-100 * 24 * time.Hour)
	old.TTL = time.Hour
	expired, err := NewRoot(old)
	if err != nil {
		t.Fatal(err)
	}
	files := filesOf(t, newIntermediate(t, newRoot(t), "cluster1"))
	files[RootFile] = append(files[RootFile], expired.Roots().PEM()...)
	a, problems := ParseAuthority(files, now)
	if problems != nil || a.Roots().Len() != 2 {
		t.Errorf("%v", problems)
	}
}

func TestParseKeyReadsEveryEncoding(t *testing.T) {
	t.Parallel()
	for _, size := range []KeySize{P256, 384, 2048} {
		key, err := NewKey(rand.Reader, size)
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range encodings(t, key) {
			got, err := ParseKey(text)
			if err != nil || !got.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
				t.Errorf("%d %s: %v", size, name, err)
			}
		}
	}
	for _, bad := range []KeySize{0, 1024, 100000} {
		if _, err := NewKey(rand.Reader, bad); err == nil {
			t.Errorf("made a key of size %d", bad)
		}
	}
	for _, text := range []string{"", "x", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"} {
		if _, err := ParseKey([]byte(text)); err == nil {
			t.Errorf("read %q", text)
		}
	}
}
