package remotesecret

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Type is who reads the Secret that Create makes.
type Type string

const (
	// TypeRemote is read by the control planes of other clusters, beside their own credentials.
	TypeRemote Type = "remote"
	// TypeConfig is mounted by an external control plane in place of its own credentials.
	TypeConfig Type = "config"
)

// AuthType is how the reader of the Secret proves who it is.
type AuthType string

const (
	// AuthBearerToken is the token of a service account, which does not expire until it is deleted.
	AuthBearerToken AuthType = "bearer-token"
	// AuthPlugin leaves it to an auth provider on the reader's side. Readers refuse all but oidc.
	AuthPlugin AuthType = "plugin"
)

// Options say which Secret to make. Namespace, Type and AuthType are required.
type Options struct {
	Cluster              string // the cluster's name; empty means the UID of its namespace kube-system
	Namespace            string // of the service account and of the Secret; nearly always the control plane's
	Type                 Type
	ServiceAccount       string // empty means DefaultServiceAccount(Type)
	CreateServiceAccount bool   // make the account and its rights when it is missing
	SecretName           string // the token Secret to read; empty means any of the account's, or a new one
	Server               string // URL at which others reach the API server; empty means that of Endpoint
	TLSServerName        string // the name in the API server's certificate, where it is not the URL's
	AuthType             AuthType
	AuthPluginName       string
	AuthPluginConfig     map[string]string

	// Endpoint is how the maker of the Secret reaches the cluster, from the kubeconfig in use.
	Endpoint clientcmdapi.Cluster
}

// DefaultServiceAccount returns the account whose token a Secret of this type carries.
func DefaultServiceAccount(t Type) string {
	if t == TypeConfig {
		return "istiod"
	}
	return "istio-reader-service-account"
}

// Create returns the Secret that gives access to the cluster behind client. It may make a token Secret and, if the options
// ask for it, the service account in that cluster; the returned Secret itself is not written anywhere.
func Create(ctx context.Context, client kubernetes.Interface, o Options) (*corev1.Secret, error) {
	o, err := o.complete(ctx, client)
	if err != nil {
		return nil, err
	}
	if err := ensureServiceAccount(ctx, client, o); err != nil {
		return nil, err
	}
	token, err := tokenSecret(ctx, client, o)
	if err != nil {
		return nil, fmt.Errorf("get an access token from the cluster's API server: %w", err)
	}
	user, err := userFrom(token, o)
	if err != nil {
		return nil, err
	}
	kubeconfig, err := kubeconfigFor(o, token.Data[corev1.ServiceAccountRootCAKey], user)
	if err != nil {
		return nil, err
	}
	return newSecret(o, kubeconfig), nil
}

// complete fills the defaults and checks what can be checked before anything is made.
func (o Options) complete(ctx context.Context, client kubernetes.Interface) (Options, error) {
	if o.ServiceAccount == "" {
		o.ServiceAccount = DefaultServiceAccount(o.Type)
	}
	if o.Server == "" {
		o.Server = o.Endpoint.Server
		if o.TLSServerName == "" {
			o.TLSServerName = o.Endpoint.TLSServerName
		}
	}
	if o.Server == "" {
		return o, errors.New("the kubeconfig's context has no server; name it with --server")
	}
	if o.AuthType == AuthPlugin && o.AuthPluginName == "" {
		return o, errors.New("--auth-type plugin needs --auth-plugin-name")
	}
	if o.Cluster == "" {
		system, err := client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
		if err != nil {
			return o, fmt.Errorf("read the cluster's UID (namespace kube-system) as its name: %w", err)
		}
		o.Cluster = string(system.UID)
	}
	if problems := validation.IsDNS1123Label(o.Cluster); len(problems) > 0 {
		return o, fmt.Errorf("%s is not a valid DNS 1123 label", o.Cluster)
	}
	return o, nil
}

// ensureServiceAccount makes the account with its namespace and rights when it is missing and the options allow it.
func ensureServiceAccount(ctx context.Context, client kubernetes.Interface, o Options) error {
	_, err := client.CoreV1().ServiceAccounts(o.Namespace).Get(ctx, o.ServiceAccount, metav1.GetOptions{})
	switch {
	case err == nil:
		return nil
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("read service account %s/%s: %w", o.Namespace, o.ServiceAccount, err)
	case !o.CreateServiceAccount:
		return fmt.Errorf("service account %s/%s does not exist: install the control plane in this cluster first, or let "+
			"--create-service-account=true make it", o.Namespace, o.ServiceAccount)
	case o.Type == TypeConfig:
		return fmt.Errorf("service account %s/%s does not exist, and a control plane's account needs rights that only an "+
			"installation grants: install with profile remote in this cluster first", o.Namespace, o.ServiceAccount)
	}
	return createReader(ctx, client, o.Namespace, o.ServiceAccount)
}
