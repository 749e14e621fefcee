package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// controlPlane is how a service of the control plane is reached: discovery, or the certificate authority.
type controlPlane struct {
	address     string // host:port
	serverName  string // in the server's certificate
	rootFile    string // see Options.XDSRootFile
	tokenFile   string
	headers     map[string]string
	plainText   bool
	certificate func() *tls.Certificate // the pod's own, nil for none; may itself be nil
}

const (
	// defaultServerName is a name that every control plane's certificate has.
	defaultServerName = "istiod.istio-system.svc"

	connectTimeout = 5 * time.Second
	pingInterval   = 30 * time.Second
	pingTimeout    = 10 * time.Second
	window         = 1 << 20 // bytes; the default is too small for large configurations
)

// dial makes a connection. Roots are read each time: the mounted file changes when roots rotate.
func (c controlPlane) dial() (*grpc.ClientConn, error) {
	transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	return grpc.NewClient(
		"dns:///"+c.address,
		grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(c),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithInitialWindowSize(window),
		grpc.WithInitialConnWindowSize(window),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectTimeout}),
		// A cut link shows no other sign than silence.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingInterval, Timeout: pingTimeout}),
	)
}

func (c controlPlane) transport() (credentials.TransportCredentials, error) {
	host, _, err := net.SplitHostPort(c.address)
	if err != nil {
		return nil, fmt.Errorf("address of the control plane: %w", err)
	}
	if c.plainText {
		if !isLoopback(host) {
			return nil, fmt.Errorf("plain text to %s is refused: it is for tests on loopback", c.address)
		}
		return insecure.NewCredentials(), nil
	}
	roots, err := readRoots(c.rootFile)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: c.serverName}
	if config.ServerName == "" {
		config.ServerName = host
		// The certificate names services, not addresses.
		if _, err := netip.ParseAddr(host); err == nil || host == "localhost" {
			config.ServerName = defaultServerName
		}
	}
	if c.certificate != nil {
		config.GetClientCertificate = c.clientCertificate
	}
	return credentials.NewTLS(config), nil
}

// clientCertificate is the pod's, if the server takes its kind; with none the token alone says who the pod is.
func (c controlPlane) clientCertificate(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if cert := c.certificate(); cert != nil && asked.SupportsCertificate(cert) == nil {
		return cert, nil
	}
	return &tls.Certificate{}, nil
}

// readRoots gives the roots of a file; nil, which stands for the operating system's, for SYSTEM.
func readRoots(file string) (*x509.CertPool, error) {
	if file == "SYSTEM" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read root certificates: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read root certificates: %s holds none", file)
	}
	return roots, nil
}

// GetRequestMetadata gives the headers of one request. The token is read each time, as the kubelet renews it.
func (c controlPlane) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	headers := maps.Clone(c.headers)
	token, err := os.ReadFile(c.tokenFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("read token: %w", err)
	default:
		headers["authorization"] = "Bearer " + strings.TrimSpace(string(token))
	}
	return headers, nil
}

// RequireTransportSecurity keeps the token off connections without TLS.
func (c controlPlane) RequireTransportSecurity() bool { return !c.plainText }

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
