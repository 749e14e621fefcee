package xds

import (
	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/translate"
)

// secretsDump is what a gateway holds of certificates, without the keys.
func secretsDump(rs []*translate.Resource, at *timestamppb.Timestamp) *adminv3.SecretsConfigDump {
	d := &adminv3.SecretsConfigDump{}
	for _, r := range rs {
		d.DynamicActiveSecrets = append(d.DynamicActiveSecrets, &adminv3.SecretsConfigDump_DynamicSecret{
			Name: r.Name, VersionInfo: r.Version, Secret: withoutKey(r), LastUpdated: at,
		})
	}
	return d
}

// withoutKey shows a secret with nothing in it but what is known to be public.
func withoutKey(r *translate.Resource) *anypb.Any {
	var secret tlsv3.Secret
	if err := unpack(r).UnmarshalTo(&secret); err != nil {
		return nil
	}
	shown := &tlsv3.Secret{Name: r.Name}
	switch of := secret.GetType().(type) {
	case *tlsv3.Secret_TlsCertificate:
		shown.Type = &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			CertificateChain: of.TlsCertificate.GetCertificateChain(),
			PrivateKey:       &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: model.Redacted}},
		}}
	case *tlsv3.Secret_ValidationContext:
		shown.Type = of
	default:
		return nil // of a kind that is not known to be public
	}
	packed, err := anypb.New(shown)
	if err != nil {
		return nil
	}
	return packed
}
