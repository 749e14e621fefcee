// Package kube talks to one Kubernetes cluster on behalf of the command line: it opens a kubeconfig, applies manifests, prunes
// and deletes objects, and waits until what was applied works. It never decides what to install: internal/install does.
package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// FieldManager owns the fields that an installation sets, as server-side apply records it.
const FieldManager = "istio-operator"

// Access says which cluster to talk to.
type Access struct {
	// Kubeconfig is a file; empty means $KUBECONFIG, else ~/.kube/config, else the pod's own service account.
	Kubeconfig string
	// Context is a context of that file; empty means its current one.
	Context string
	// Impersonate says whom to act as; empty is the kubeconfig's own user.
	Impersonate rest.ImpersonationConfig
	// Timeout bounds one request; zero means 15 s.
	Timeout time.Duration
	// Warnings receives what API servers warn about, each text once; nil drops them.
	Warnings io.Writer
}

// Config returns the connection settings of the cluster that a names.
func Config(a Access) (*rest.Config, error) {
	cfg, err := loader(a).ClientConfig()
	if err != nil {
		if clientcmd.IsEmptyConfig(err) {
			return nil, errors.New("no cluster to talk to: no kubeconfig found; name one with --kubeconfig or $KUBECONFIG")
		}
		return nil, fmt.Errorf("read kubeconfig: %s", strings.TrimPrefix(err.Error(), "invalid configuration: "))
	}
	if a.Impersonate.UserName != "" || a.Impersonate.UID != "" || len(a.Impersonate.Groups) > 0 {
		cfg.Impersonate = a.Impersonate
	}
	cfg.Timeout = a.Timeout
	if cfg.Timeout == 0 {
		cfg.Timeout = 15 * time.Second
	}
	// An installation is a burst of small requests; client-go's default of 5 a second would make it wait for itself.
	cfg.QPS, cfg.Burst = 100, 200
	cfg.WarningHandler = rest.NoWarnings{}
	if a.Warnings != nil {
		cfg.WarningHandler = rest.NewWarningWriter(a.Warnings, rest.WarningWriterOptions{Deduplicate: true})
	}
	return cfg, nil
}

// loader reads the kubeconfig files in client-go's usual order.
func loader(a Access) clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = a.Kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: a.Context})
}

// Client is one cluster's API in the forms that an installation needs.
type Client struct {
	Config   *rest.Config
	Core     kubernetes.Interface
	dynamic  dynamic.Interface
	metadata metadata.Interface
	mapper   meta.ResettableRESTMapper
}

// NewClient opens the cluster that a names. It sends no request yet.
func NewClient(a Access) (*Client, error) {
	cfg, err := Config(a)
	if err != nil {
		return nil, err
	}
	return NewClientFor(cfg)
}

// NewClientFor makes a client from settings that the caller already has.
func NewClientFor(cfg *rest.Config) (*Client, error) {
	core, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("open cluster %s: %w", cfg.Host, err)
	}
	dyn, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("open cluster %s: %w", cfg.Host, err)
	}
	metaClient, err := metadata.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("open cluster %s: %w", cfg.Host, err)
	}
	return &Client{
		Config: cfg, Core: core, dynamic: dyn, metadata: metaClient,
		mapper: newMapper(core.Discovery()),
	}, nil
}

func newMapper(d discovery.DiscoveryInterface) meta.ResettableRESTMapper {
	return restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(d))
}

// ServerVersion asks the API server who it is; the cheapest proof that the cluster can be reached.
func (c *Client) ServerVersion(ctx context.Context) (string, error) {
	v, err := discovery.ToServerVersionInterfaceWithContext(c.Core.Discovery()).ServerVersionWithContext(ctx)
	if err != nil {
		return "", fmt.Errorf("reach the cluster at %s: %w", c.Config.Host, err)
	}
	return v.GitVersion, nil
}
