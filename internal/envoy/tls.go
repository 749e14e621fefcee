package envoy

import (
	"cmp"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rawbuffer "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// Names of secrets that the agent serves to its Envoy.
const (
	workloadSecret = "default"
	rootSecret     = "ROOTCA"
)

// agentSDS is the configuration source of the agent's own secrets, over its Unix socket. Envoy waits for them without end, rather
// than to come up after 15 seconds without a certificate.
func agentSDS(name string) *tls.SdsSecretConfig {
	return &tls.SdsSecretConfig{Name: name, SdsConfig: &core.ConfigSource{
		ResourceApiVersion:  core.ApiVersion_V3,
		InitialFetchTimeout: durationpb.New(0),
		ConfigSourceSpecifier: &core.ConfigSource_ApiConfigSource{ApiConfigSource: &core.ApiConfigSource{
			ApiType:                   core.ApiConfigSource_GRPC,
			TransportApiVersion:       core.ApiVersion_V3,
			SetNodeOnFirstMessageOnly: true,
			GrpcServices: []*core.GrpcService{{TargetSpecifier: &core.GrpcService_EnvoyGrpc_{
				EnvoyGrpc: &core.GrpcService_EnvoyGrpc{ClusterName: "sds-grpc"},
			}}},
		}},
	}}
}

// meshTLS is what both sides of mutual TLS in the mesh share.
func meshTLS(alpn []string, sans []*tls.SubjectAltNameMatcher) *tls.CommonTlsContext {
	return &tls.CommonTlsContext{
		TlsParams: &tls.TlsParameters{
			TlsMinimumProtocolVersion: tls.TlsParameters_TLSv1_2,
			TlsMaximumProtocolVersion: tls.TlsParameters_TLSv1_3,
		},
		TlsCertificateSdsSecretConfigs: []*tls.SdsSecretConfig{agentSDS(workloadSecret)},
		ValidationContextType: &tls.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tls.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext:         &tls.CertificateValidationContext{MatchTypedSubjectAltNames: sans},
				ValidationContextSdsSecretConfig: agentSDS(rootSecret),
			},
		},
		AlpnProtocols: alpn,
	}
}

func uriSAN(m *matcher.StringMatcher) *tls.SubjectAltNameMatcher {
	return &tls.SubjectAltNameMatcher{SanType: tls.SubjectAltNameMatcher_URI, Matcher: m}
}

// ClientMTLS is mutual TLS towards a service of the mesh: the server must show one of the given identities. None means
// that any identity of the mesh's root is taken.
func ClientMTLS(sni string, alpn, identities []string) *core.TransportSocket {
	sans := make([]*tls.SubjectAltNameMatcher, 0, len(identities))
	for _, id := range identities {
		sans = append(sans, uriSAN(&matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Exact{Exact: id}}))
	}
	return tlsSocket(Any(&tls.UpstreamTlsContext{CommonTlsContext: meshTLS(alpn, sans), Sni: sni}))
}

// serverCiphers are Istio's for servers of the mesh under TLS 1.2.
var serverCiphers = []string{
	"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
	"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
	"AES256-GCM-SHA384", "AES128-GCM-SHA256",
}

// ServerMTLS is mutual TLS towards clients of the mesh: a certificate is demanded, of one of the trust domains.
func ServerMTLS(alpn, trustDomains []string) *core.TransportSocket {
	sans := make([]*tls.SubjectAltNameMatcher, 0, len(trustDomains))
	for _, domain := range trustDomains {
		sans = append(sans, uriSAN(&matcher.StringMatcher{
			MatchPattern: &matcher.StringMatcher_Prefix{Prefix: "spiffe://" + domain + "/"},
		}))
	}
	common := meshTLS(alpn, sans)
	common.TlsParams.CipherSuites = serverCiphers
	return tlsSocket(Any(&tls.DownstreamTlsContext{CommonTlsContext: common, RequireClientCertificate: boolValue(true)}))
}

// TLSVersions bounds what a server speaks, as Envoy numbers versions; zero leaves it to Envoy.
type TLSVersions struct{ Min, Max int32 }

// ServerTLS is a server's TLS with a certificate that comes over ADS by name. With caName, clients must show a
// certificate of that authority. Until the certificate has come, or the authority that is asked for, connections are closed.
func ServerTLS(alpn []string, versions TLSVersions, secretName, caName string) *core.TransportSocket {
	common := &tls.CommonTlsContext{
		TlsParams: &tls.TlsParameters{
			TlsMinimumProtocolVersion: tls.TlsParameters_TlsProtocol(cmp.Or(versions.Min, int32(tls.TlsParameters_TLSv1_2))),
			TlsMaximumProtocolVersion: tls.TlsParameters_TlsProtocol(versions.Max),
		},
		TlsCertificateSdsSecretConfigs: []*tls.SdsSecretConfig{
			{Name: secretName, SdsConfig: ADS()},
		},
		AlpnProtocols: alpn,
	}
	context := &tls.DownstreamTlsContext{CommonTlsContext: common}
	if caName != "" {
		context.RequireClientCertificate = boolValue(true)
		common.ValidationContextType = &tls.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tls.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext:         &tls.CertificateValidationContext{},
				ValidationContextSdsSecretConfig: &tls.SdsSecretConfig{Name: caName, SdsConfig: ADS()},
			},
		}
	}
	return tlsSocket(Any(context))
}

// MTLSWhereSpoken makes an upstream speak TLS to the endpoints that are marked for it and plain text to the others.
func MTLSWhereSpoken(c *cluster.Cluster, mtls *core.TransportSocket) {
	c.TransportSocketMatches = []*cluster.Cluster_TransportSocketMatch{
		{
			Name: "tlsMode-istio", TransportSocket: mtls,
			Match: &structpb.Struct{Fields: map[string]*structpb.Value{"tlsMode": structpb.NewStringValue("istio")}},
		},
		{Name: "tlsMode-disabled", Match: &structpb.Struct{}, TransportSocket: &core.TransportSocket{
			Name:       "envoy.transport_sockets.raw_buffer",
			ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: Any(&rawbuffer.RawBuffer{})},
		}},
	}
}

func tlsSocket(context *anypb.Any) *core.TransportSocket {
	return &core.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: context},
	}
}
