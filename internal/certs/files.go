package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// The names of the files that hold an authority, in a directory as in a Secret.
const (
	CertFile  = "ca-cert.pem"
	KeyFile   = "ca-key.pem"
	RootFile  = "root-cert.pem"
	ChainFile = "cert-chain.pem"

	// The layout of a Secret of type kubernetes.io/tls, which cert-manager writes.
	TLSCertFile = "tls.crt"
	TLSKeyFile  = "tls.key"
	TLSRootFile = "ca.crt"

	// The pair of a mesh root, as the guides' Makefile leaves it in the working directory beside RootFile.
	RootKeyFile = "root-key.pem"
)

// istioGenerated marks a Secret cacerts that Istio filled with its own self-signed authority: only certificate and key count.
const istioGenerated = "istio-generated"

// Problem is why a set of files is no authority.
type Problem struct {
	File string // the file it is about
	Text string
	Fix  string // what to do
}

// String is the problem as one line.
func (p Problem) String() string { return p.File + ": " + p.Text + " (" + p.Fix + ")" }

// Explain joins problems into one error; it is nil when there are none.
func Explain(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	lines := make([]string, 0, len(problems))
	for _, p := range problems {
		lines = append(lines, p.String())
	}
	return errors.New(strings.Join(lines, "; "))
}

// Files is the authority as the four files of cacerts.
func (a *Authority) Files() (map[string][]byte, error) {
	key, err := EncodeKey(a.key)
	if err != nil {
		return nil, err
	}
	root := a.roots.PEM()
	return map[string][]byte{
		CertFile:  trust.EncodeCertificate(a.cert.Raw),
		KeyFile:   key,
		RootFile:  root,
		ChainFile: append(encodeAll(a.intermediates), root...),
	}, nil
}

// TLSFiles is the authority in the layout of kubernetes.io/tls.
func (a *Authority) TLSFiles() (map[string][]byte, error) {
	key, err := EncodeKey(a.key)
	if err != nil {
		return nil, err
	}
	chain := a.intermediates
	if len(chain) == 0 {
		chain = []*x509.Certificate{a.cert}
	}
	return map[string][]byte{TLSCertFile: encodeAll(chain), TLSKeyFile: key, TLSRootFile: a.roots.PEM()}, nil
}

// layout names the files of an authority by their part in it. Chain may equal cert: then the certificate's file holds both.
type layout struct {
	cert, key, root, chain string
}

// ParseAuthority reads an authority from files in either layout and checks that they belong together and can sign at now. It
// returns the authority, or everything that is wrong.
func ParseAuthority(files map[string][]byte, now time.Time) (*Authority, []Problem) {
	return parse(files, layoutOf(files), now)
}

// ParseSelfSigned reads an authority that is its own root from a certificate and a key file.
func ParseSelfSigned(files map[string][]byte, certFile, keyFile string, now time.Time) (*Authority, []Problem) {
	return parse(files, layout{cert: certFile, key: keyFile, root: certFile, chain: certFile}, now)
}

// layoutOf picks the layout by the files that are there. A set with nothing of either counts as a cacerts with all missing.
func layoutOf(files map[string][]byte) layout {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { _, ok := files[name]; return ok })
	}
	switch {
	case has(istioGenerated):
		return layout{cert: CertFile, key: KeyFile, root: CertFile, chain: CertFile}
	case !has(CertFile, KeyFile, RootFile, ChainFile) && has(TLSCertFile, TLSKeyFile, TLSRootFile):
		return layout{cert: TLSCertFile, key: TLSKeyFile, root: TLSRootFile, chain: TLSCertFile}
	default:
		return layout{cert: CertFile, key: KeyFile, root: RootFile, chain: ChainFile}
	}
}

func parse(files map[string][]byte, l layout, now time.Time) (*Authority, []Problem) {
	if problems := missing(files, l); problems != nil {
		return nil, problems
	}
	var problems []Problem
	read := func(name string) []*x509.Certificate {
		certs, err := trust.ParseCertificates(files[name])
		if err != nil {
			problems = append(problems, Problem{name, err.Error(), "put PEM certificates into it"})
		}
		return certs
	}
	own, chain, roots := read(l.cert), []*x509.Certificate(nil), []*x509.Certificate(nil)
	if chain = own; l.chain != l.cert {
		chain = read(l.chain)
	}
	if roots = own; l.root != l.cert {
		roots = read(l.root)
	}
	key, err := ParseKey(files[l.key])
	if err != nil {
		problems = append(problems, Problem{l.key, err.Error(), "put the unencrypted PEM key of " + l.cert + " into it"})
	}
	if problems != nil {
		return nil, problems
	}
	a := &Authority{cert: own[0], key: key, roots: trust.NewBundle(roots...)}
	problems = a.check(l)
	if problem := validity(l.cert, a.cert, now); problem != nil {
		problems = append(problems, *problem)
	} else if path, problem := a.wayUp(l, chain, now); problem != nil {
		problems = append(problems, *problem)
	} else {
		a.follow(path, chain)
	}
	if problems != nil {
		return nil, problems
	}
	return a, nil
}

// missing lists the files that are absent or empty.
func missing(files map[string][]byte, l layout) []Problem {
	var problems []Problem
	names := []string{l.cert, l.key, l.root, l.chain}
	for i, name := range names {
		if len(files[name]) > 0 || slices.Contains(names[:i], name) {
			continue
		}
		text := "missing"
		if _, ok := files[name]; ok {
			text = "empty"
		}
		problems = append(problems, Problem{name, text, "the set needs " + strings.Join(slices.Compact(names), ", ")})
	}
	return problems
}

// check finds what is wrong with the signing certificate by itself.
func (a *Authority) check(l layout) []Problem {
	var problems []Problem
	if !samePublic(a.cert, a.key) {
		problems = append(problems, Problem{l.key, "does not belong to the certificate in " + l.cert, "use the key that the certificate was made for"})
	}
	if !a.cert.IsCA {
		problems = append(problems, Problem{l.cert, "is not a CA certificate", "use a certificate with basic constraint CA:TRUE"})
	} else if a.cert.KeyUsage != 0 && a.cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		problems = append(problems, Problem{l.cert, "may not sign certificates", "use a certificate with key usage keyCertSign"})
	}
	if err := checkPublicKey(a.cert.PublicKey); err != nil {
		problems = append(problems, Problem{l.cert, err.Error(), "make the authority anew with a stronger key"})
	}
	return problems
}

// validity says whether a certificate is past its time or before it.
func validity(file string, cert *x509.Certificate, now time.Time) *Problem {
	switch {
	case now.After(cert.NotAfter):
		return &Problem{file, fmt.Sprintf("%s expired at %s", cert.Subject, cert.NotAfter.UTC().Format(time.RFC3339)), "make it anew"}
	case now.Before(cert.NotBefore):
		return &Problem{
			file, fmt.Sprintf("%s is not valid before %s", cert.Subject, cert.NotBefore.UTC().Format(time.RFC3339)),
			"check the clock, or make it anew",
		}
	default:
		return nil
	}
}
