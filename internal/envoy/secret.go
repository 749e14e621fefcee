package envoy

import (
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// ServerCertificate is a certificate with its key, both PEM.
func ServerCertificate(name, certificates, key string) *tls.Secret {
	return &tls.Secret{Name: name, Type: &tls.Secret_TlsCertificate{TlsCertificate: &tls.TlsCertificate{
		CertificateChain: inline(certificates), PrivateKey: inline(key),
	}}}
}

// ClientRoots is the authorities that certificates of clients must come from, and those that they called back; both PEM, the
// second may be empty.
func ClientRoots(name, roots, crl string) *tls.Secret {
	context := &tls.CertificateValidationContext{TrustedCa: inline(roots)}
	if crl != "" {
		context.Crl = inline(crl)
	}
	return &tls.Secret{Name: name, Type: &tls.Secret_ValidationContext{ValidationContext: context}}
}

// inline carries text as bytes: what stands around the blocks of a PEM file need not be UTF-8.
func inline(text string) *core.DataSource {
	return &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: []byte(text)}}
}
