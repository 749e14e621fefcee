package remotesecret

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	_ "k8s.io/client-go/plugin/pkg/client/auth/oidc" // the one auth provider that a remote Secret may name
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// RESTConfig turns the kubeconfig of a remote Secret into a client configuration for its current context.
//
// Whoever may write Secrets in the system namespace must not gain the control plane's own powers by it, so a kubeconfig that
// would run a program, load a plugin, or read a file beside the control plane is refused, wherever in it that stands.
// The words in allow lift one refusal each: exec, clientKey, clientCertificate, tokenFile, or the name of an auth provider.
func RESTConfig(kubeconfig []byte, allow ...string) (*rest.Config, error) {
	if len(bytes.TrimSpace(kubeconfig)) == 0 {
		return nil, errors.New("the kubeconfig is empty")
	}
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig cannot be read: %w", err)
	}
	for _, user := range slices.Sorted(maps.Keys(config.AuthInfos)) {
		if err := refuse(config.AuthInfos[user], allow); err != nil {
			return nil, fmt.Errorf("user %q: %w", user, err)
		}
	}
	if config.CurrentContext == "" {
		return nil, errors.New("the kubeconfig names no current-context")
	}
	client, err := clientcmd.NewNonInteractiveClientConfig(*config, config.CurrentContext, nil, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("the kubeconfig cannot be used: %w", err)
	}
	return client, nil
}

// refuse says what a user entry asks for that a Secret may not, or nil.
func refuse(user *clientcmdapi.AuthInfo, allow []string) error {
	if provider := user.AuthProvider; provider != nil {
		if provider.Name != "oidc" && !slices.Contains(allow, provider.Name) {
			return notAllowed("auth provider " + provider.Name)
		}
		if provider.Config["idp-certificate-authority"] != "" {
			return notAllowed("auth provider file idp-certificate-authority")
		}
	}
	asks := []struct {
		word  string
		asked bool
	}{
		{"exec", user.Exec != nil},
		{"clientKey", user.ClientKey != ""},
		{"clientCertificate", user.ClientCertificate != ""},
		{"tokenFile", user.TokenFile != ""},
	}
	for _, ask := range asks {
		if ask.asked && !slices.Contains(allow, ask.word) {
			return notAllowed(ask.word)
		}
	}
	return nil
}

func notAllowed(what string) error {
	return fmt.Errorf("%s is not allowed in a remote Secret: use a token, as create-remote-secret does", what)
}
