package clusters

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/isthmus-mesh/isthmus/internal/remotesecret"
)

// Client reads one cluster with one credential.
type Client struct {
	Kubernetes kubernetes.Interface
	// Close frees what the client holds, once nobody uses it; nil when there is nothing.
	Close func()
}

func (c Client) close() {
	if c.Close != nil {
		c.Close()
	}
}

// Open makes a client from the kubeconfig of a remote Secret. It contacts nobody.
//
// Each client has connections of its own: those that client-go shares between clients live as long as the process, so
// that every change of a certificate would leave some behind. They notice a cut link within some seconds.
func Open(kubeconfig []byte) (Client, error) {
	config, err := remotesecret.RESTConfig(kubeconfig)
	if err != nil {
		return Client{}, err
	}
	config.UserAgent = "istiod"
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return Client{}, fmt.Errorf("certificates of the kubeconfig cannot be used: %w", err)
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       tlsConfig,
		TLSHandshakeTimeout:   5 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
		IdleConnTimeout:       90 * time.Second,
		ForceAttemptHTTP2:     true,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
	if config.Proxy != nil {
		transport.Proxy = config.Proxy
	}
	wrapped, err := rest.HTTPWrappersForConfig(config, transport)
	if err != nil {
		return Client{}, fmt.Errorf("credential of the kubeconfig cannot be used: %w", err)
	}
	// TokenReviews of all new connections of a cluster go through here, beside the watches.
	config.QPS, config.Burst = 100, 200
	client, err := kubernetes.NewForConfigAndClient(config, &http.Client{Transport: wrapped})
	if err != nil {
		return Client{}, fmt.Errorf("make a client of the kubeconfig: %w", err)
	}
	return Client{Kubernetes: client, Close: transport.CloseIdleConnections}, nil
}
