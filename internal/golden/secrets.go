package golden

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// Words that stand in scenarios for what must not stand in files: a certificate and its key, made for this run.
const (
	certificateWord = "(certificate)"
	keyWord         = "(key)"
)

// issued gives what the words stand for.
var issued = sync.OnceValues(func() (map[string]string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"example.com"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		certificateWord: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		keyWord:         string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})),
	}, nil
})

// decodeSecret reads a Secret whose values are words or text.
func decodeSecret(doc []byte) (registry.Object, error) {
	var secret corev1.Secret
	if err := yaml.Unmarshal(doc, &secret); err != nil {
		return nil, err
	}
	words, err := issued()
	if err != nil {
		return nil, err
	}
	secret.Data = map[string][]byte{}
	for key, text := range secret.StringData {
		if made, ok := words[text]; ok {
			text = made
		}
		secret.Data[key] = []byte(text)
	}
	return registry.CredentialFrom(&secret), nil
}

// WithWords gives secrets as scenarios show them: the words in place of what was made.
func WithWords(messages []proto.Message) ([]proto.Message, error) {
	words, err := issued()
	if err != nil {
		return nil, err
	}
	var shown []proto.Message
	for _, m := range messages {
		secret := proto.CloneOf(m.(*tls.Secret))
		for _, source := range []*core.DataSource{
			secret.GetTlsCertificate().GetCertificateChain(), secret.GetTlsCertificate().GetPrivateKey(),
			secret.GetValidationContext().GetTrustedCa(),
		} {
			for word, made := range words {
				if source != nil && string(source.GetInlineBytes()) == made {
					source.Specifier = &core.DataSource_InlineString{InlineString: word}
				}
			}
		}
		shown = append(shown, secret)
	}
	return shown, nil
}

// inlineSecrets makes a listener take its secrets from the bootstrap, so that Envoy judges them too.
func inlineSecrets(l *listener.Listener, secrets map[string]bool) error {
	for _, c := range l.FilterChains {
		context := &tls.DownstreamTlsContext{}
		if config := c.GetTransportSocket().GetTypedConfig(); config == nil || !config.MessageIs(context) {
			continue
		} else if err := config.UnmarshalTo(context); err != nil {
			return err
		}
		common := context.CommonTlsContext
		asked := append([]*tls.SdsSecretConfig{common.GetCombinedValidationContext().GetValidationContextSdsSecretConfig()},
			common.TlsCertificateSdsSecretConfigs...)
		for _, a := range asked {
			if a.GetSdsConfig().GetAds() == nil {
				continue // the agent's
			}
			if !secrets[a.Name] {
				return fmt.Errorf("listener %s: no secret %s", l.Name, a.Name)
			}
			a.SdsConfig = nil
		}
		packed, err := anypb.New(context)
		if err != nil {
			return err
		}
		c.TransportSocket.ConfigType = &core.TransportSocket_TypedConfig{TypedConfig: packed}
	}
	return nil
}
