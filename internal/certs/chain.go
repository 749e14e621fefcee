package certs

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
	"time"
)

// wayUp finds the shortest path from the signing certificate to a root, both included. Certificates beside that path may be
// past their time: a bundle keeps old roots for a while.
func (a *Authority) wayUp(l layout, chain []*x509.Certificate, now time.Time) ([]*x509.Certificate, *Problem) {
	intermediates := x509.NewCertPool()
	for _, cert := range chain {
		intermediates.AddCert(cert)
	}
	paths, err := a.cert.Verify(x509.VerifyOptions{
		Roots:         a.roots.Pool(),
		Intermediates: intermediates,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err == nil {
		shortest := slices.MinFunc(paths, func(p, q []*x509.Certificate) int { return len(p) - len(q) })
		return shortest, roomBelow(l, shortest)
	}
	for _, cert := range a.roots.Roots() {
		if p := validity(l.root, cert, now); p != nil {
			return nil, p
		}
	}
	for _, cert := range chain {
		if p := validity(l.chain, cert, now); p != nil {
			return nil, p
		}
	}
	return nil, broken(l, err)
}

// broken says why no path leads from the certificate to a root.
func broken(l layout, err error) *Problem {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		switch invalid.Reason {
		case x509.TooManyIntermediates:
			return tooLong(l)
		case x509.NotAuthorizedToSign:
			return &Problem{l.chain, "holds a certificate that is not a CA", "put the issuers of " + l.cert + " into it"}
		}
	}
	text := "does not lead from " + l.cert + " to " + l.root
	if l.chain == l.cert {
		text = "was not signed by a certificate in " + l.root
	}
	return &Problem{l.chain, text, "put every issuer between " + l.cert + " and " + l.root + " into it, or use the root that signed them"}
}

// roomBelow checks that a leaf still fits under every certificate of the path, counted as RFC 5280 section 4.2.1.9 does:
// certificates that issued themselves do not count.
func roomBelow(l layout, path []*x509.Certificate) *Problem {
	below := 0
	for i, cert := range path {
		if i > 0 && !bytes.Equal(path[i-1].RawSubject, path[i-1].RawIssuer) {
			below++
		}
		limited := cert.BasicConstraintsValid && (cert.MaxPathLen > 0 || cert.MaxPathLenZero)
		if limited && below > cert.MaxPathLen {
			return tooLong(l)
		}
	}
	return nil
}

func tooLong(l layout) *Problem {
	return &Problem{l.chain, "holds more authorities than a path length in it allows", "sign " + l.cert + " with an authority that has room for it"}
}

// follow takes the path into the authority: its intermediates first, then what else the chain file holds (cross-signed
// certificates that lead to further roots), without roots.
func (a *Authority) follow(path, chain []*x509.Certificate) {
	a.notAfter, a.rootNotAfter = a.cert.NotAfter, path[len(path)-1].NotAfter
	for _, cert := range path {
		if cert.NotAfter.Before(a.notAfter) {
			a.notAfter = cert.NotAfter
		}
	}
	isRoot := func(cert *x509.Certificate) bool { return slices.ContainsFunc(a.roots.Roots(), cert.Equal) }
	for _, cert := range slices.Concat(path, chain) {
		selfSigned := bytes.Equal(cert.RawSubject, cert.RawIssuer) && cert.CheckSignatureFrom(cert) == nil
		if isRoot(cert) || selfSigned || slices.ContainsFunc(a.intermediates, cert.Equal) {
			continue
		}
		a.intermediates = append(a.intermediates, cert)
	}
}
