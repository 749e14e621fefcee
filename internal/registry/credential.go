package registry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// rootsSuffix is the end of the name of a Secret that holds only the authorities of clients, beside that of the certificate.
const rootsSuffix = "-cacert"

// Credential is a Secret that gateways need, as far as they need it, or that there is none.
type Credential struct {
	Namespace, Name string
	Model           *model.Credential // nil when there is no such Secret, or it could never be read
	Unread          string            // why the Secret cannot be read now; empty when it can
	Pair            string            // what is wrong with its certificate and key; empty when they are good
	Roots           string            // the same of the authorities of clients
}

// Key implements Object.
func (c *Credential) Key() Key { return Key{KindCredential, c.Namespace, c.Name} }

// CredentialFrom reads a Secret of type kubernetes.io/tls, or a generic one with the keys that Istio knows
// (https://istio.io/latest/docs/tasks/traffic-management/ingress/secure-ingress/#key-formats). What proxies would refuse is
// left out and said.
func CredentialFrom(s *corev1.Secret) *Credential {
	out := &Credential{Namespace: s.Namespace, Name: s.Name, Model: &model.Credential{}}
	if err := out.readPair(s.Data); err != nil {
		out.Pair = err.Error()
	}
	if err := out.readRoots(s.Data); err != nil {
		out.Roots = err.Error()
	}
	return out
}

func (c *Credential) readPair(data map[string][]byte) error {
	certName, keyName := "tls.crt", "tls.key"
	if len(data["cert"]) > 0 && len(data["key"]) > 0 {
		certName, keyName = "cert", "key"
	}
	chain, key := data[certName], data[keyName]
	if len(chain) == 0 || len(key) == 0 {
		return errors.New("it lacks tls.crt or tls.key; type kubernetes.io/tls has both")
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return fmt.Errorf("%s and %s cannot be used: %w", certName, keyName, err)
	}
	if err := refusedByEnvoy(pair.Leaf); err != nil {
		return fmt.Errorf("%s cannot be used: %w", certName, err)
	}
	c.Model.Certificates, c.Model.Key = string(chain), model.PrivateKey(key)
	return nil
}

// refusedByEnvoy says why Envoy would not take a certificate. It would then keep the one before, and say so in its log only.
func refusedByEnvoy(c *x509.Certificate) error {
	if public, ok := c.PublicKey.(*rsa.PublicKey); ok && public.N.BitLen() < 2048 {
		return fmt.Errorf("its key has %d bits, and proxies take no fewer than 2048", public.N.BitLen())
	}
	if public, ok := c.PublicKey.(*ecdsa.PublicKey); ok && public.Curve == elliptic.P224() {
		return errors.New("its key is on curve P-224, and proxies take P-256, P-384 and P-521")
	}
	if c.Subject.CommonName == "" && len(c.DNSNames)+len(c.IPAddresses)+len(c.URIs) == 0 {
		return errors.New("it has neither a common name nor a DNS name, address or URI, one of which proxies demand")
	}
	return nil
}

func (c *Credential) readRoots(data map[string][]byte) error {
	name := "ca.crt"
	if len(data["cacert"]) > 0 {
		name = "cacert"
	}
	if len(data[name]) == 0 {
		return errors.New("it lacks ca.crt, the authority of clients, without which mode MUTUAL takes none")
	}
	if err := eachBlock(data[name], "CERTIFICATE", func(der []byte) error {
		_, err := x509.ParseCertificate(der)
		return err
	}); err != nil {
		return fmt.Errorf("%s cannot be used: %w", name, err)
	}
	crl := data["ca.crl"]
	if len(crl) > 0 {
		// Without it, clients whose certificates were called back would be let in.
		if err := eachBlock(crl, "X509 CRL", func(der []byte) error {
			_, err := x509.ParseRevocationList(der)
			return err
		}); err != nil {
			return fmt.Errorf("ca.crl cannot be used: %w", err)
		}
	}
	c.Model.Roots, c.Model.CRL = string(data[name]), string(crl)
	return nil
}

// eachBlock parses the blocks of a PEM file, which must be at least one and all of a type.
func eachBlock(text []byte, blockType string, parse func(der []byte) error) error {
	for n := 1; ; n++ {
		block, rest := pem.Decode(text)
		switch {
		case block == nil && n == 1:
			return fmt.Errorf("it holds no PEM block %s", blockType)
		case block == nil:
			return nil
		case block.Type != blockType:
			return fmt.Errorf("block %d is %s, not %s", n, block.Type, blockType)
		}
		if err := parse(block.Bytes); err != nil {
			return fmt.Errorf("block %d: %w", n, err)
		}
		text = rest
	}
}

// Credential finds what is known of a Secret that gateways need. It is nil when nobody has looked for it yet.
func (o *Objects) Credential(namespace, name string) *Credential {
	c, _ := o.namespace(namespace).get(KindCredential, name).(*Credential)
	return c
}

// makeCredentials takes over the Secrets of the own cluster: keys of others are not read.
func (b *builder) makeCredentials(e *edit, out *model.Namespace) (changed bool) {
	if !e.secrets {
		return false
	}
	credentials := map[string]*model.Credential{}
	for _, c := range b.clusters {
		if c.Objects.Cluster != b.mesh.Cluster {
			continue
		}
		for name, object := range c.Objects.namespace(e.name).kind(KindCredential).all() {
			if secret := object.(*Credential); secret.Model != nil {
				credentials[name] = secret.Model
			}
		}
	}
	if maps.Equal(credentials, out.Credentials) {
		return false
	}
	out.Credentials = credentials
	return true
}

// trouble says why a server does not get a part of a Secret, with the fix, or nothing. Broken is what is wrong with the part.
func (c *Credential) trouble(broken string) string {
	switch {
	case c == nil:
		return "" // nobody has looked for it yet
	case c.Unread != "":
		return c.Unread
	case c.Model == nil:
		return fmt.Sprintf("Secret %s/%s with its certificate does not exist: kubectl create -n %s secret tls %s --cert=FILE --key=FILE",
			c.Namespace, c.Name, c.Namespace, c.Name)
	case broken != "":
		return fmt.Sprintf("Secret %s/%s: %s", c.Namespace, c.Name, broken)
	default:
		return ""
	}
}

// serverTrouble says what keeps a server of gateways in a namespace from having its certificate.
func serverTrouble(own *Objects, namespace string, s model.GatewayServer) []string {
	var texts []string
	say := func(trouble string) {
		if text := fmt.Sprintf("port %d: %s", s.Port.Number, trouble); trouble != "" && !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	pair := own.Credential(namespace, s.CredentialName)
	if pair != nil {
		say(pair.trouble(pair.Pair))
	}
	if s.TLS != model.Mutual {
		return texts
	}
	roots := own.Credential(namespace, s.CredentialName+rootsSuffix)
	if roots == nil || roots.Model == nil {
		roots = pair
	}
	if roots != nil {
		say(roots.trouble(roots.Roots))
	}
	return texts
}
