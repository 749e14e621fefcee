package remotesecret

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
)

// How long the cluster's token controller may take to fill a new token Secret. It is done in well under a second, unless the
// controller manager is just starting.
const (
	tokenPoll    = 200 * time.Millisecond
	tokenTimeout = 15 * time.Second
)

// tokenSecret returns the Secret with the account's token and the cluster's CA certificate; one is made when the cluster
// does not keep any by itself, as Kubernetes since 1.24.
func tokenSecret(ctx context.Context, client kubernetes.Interface, o Options) (*corev1.Secret, error) {
	named, err := namedTokenSecret(ctx, client, o)
	if err != nil {
		return nil, err
	}
	if named == "" {
		named, err = createTokenSecret(ctx, client, o)
		if err != nil {
			return nil, err
		}
	}
	return waitForToken(ctx, client, o, named)
}

// namedTokenSecret returns the name of the account's token Secret, or "" when one has to be made.
func namedTokenSecret(ctx context.Context, client kubernetes.Interface, o Options) (string, error) {
	if o.SecretName != "" {
		secret, err := client.CoreV1().Secrets(o.Namespace).Get(ctx, o.SecretName, metav1.GetOptions{})
		if err != nil {
			return "", fmt.Errorf("could not get specified secret %s/%s: %w", o.Namespace, o.SecretName, err)
		}
		if secret.Annotations[corev1.ServiceAccountNameKey] != o.ServiceAccount {
			return "", fmt.Errorf("secret %s/%s does not reference ServiceAccount %s", o.Namespace, o.SecretName, o.ServiceAccount)
		}
		return o.SecretName, nil
	}
	legacy, err := keepsTokenSecrets(client)
	if err != nil {
		return "", err
	}
	if legacy {
		return onlyListedSecret(ctx, client, o)
	}
	return firstTokenSecret(ctx, client, o)
}

// keepsTokenSecrets says whether the cluster makes a token Secret for every service account, as Kubernetes before 1.24 did.
func keepsTokenSecrets(client kubernetes.Interface) (bool, error) {
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		return false, fmt.Errorf("read the API server's version: %w", err)
	}
	// Some providers write a minor version such as "23+".
	minor, err := strconv.Atoi(strings.TrimRight(version.Minor, "+"))
	return err == nil && version.Major == "1" && minor < 24, nil
}

func onlyListedSecret(ctx context.Context, client kubernetes.Interface, o Options) (string, error) {
	account, err := client.CoreV1().ServiceAccounts(o.Namespace).Get(ctx, o.ServiceAccount, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("read service account %s/%s: %w", o.Namespace, o.ServiceAccount, err)
	}
	if len(account.Secrets) != 1 {
		return "", fmt.Errorf("wrong number of secrets (%d) in serviceaccount %s/%s, please use --secret-name to specify one",
			len(account.Secrets), o.Namespace, o.ServiceAccount)
	}
	return account.Secrets[0].Name, nil
}

func firstTokenSecret(ctx context.Context, client kubernetes.Interface, o Options) (string, error) {
	secrets, err := client.CoreV1().Secrets(o.Namespace).List(ctx, metav1.ListOptions{
		FieldSelector: "type=" + string(corev1.SecretTypeServiceAccountToken),
	})
	if err != nil {
		return "", fmt.Errorf("list token secrets in %s: %w", o.Namespace, err)
	}
	for _, secret := range secrets.Items {
		if secret.Type == corev1.SecretTypeServiceAccountToken && secret.DeletionTimestamp == nil &&
			secret.Annotations[corev1.ServiceAccountNameKey] == o.ServiceAccount {
			return secret.Name, nil
		}
	}
	return "", nil
}

func createTokenSecret(ctx context.Context, client kubernetes.Interface, o Options) (string, error) {
	name := o.ServiceAccount + "-istio-remote-secret-token"
	_, err := client.CoreV1().Secrets(o.Namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Namespace:   o.Namespace,
			Annotations: map[string]string{corev1.ServiceAccountNameKey: o.ServiceAccount},
		},
		Type: corev1.SecretTypeServiceAccountToken,
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return "", fmt.Errorf("create token secret %s/%s: %w", o.Namespace, name, err)
	}
	return name, nil
}

// waitForToken returns the Secret once the token controller has filled it.
func waitForToken(ctx context.Context, client kubernetes.Interface, o Options, name string) (*corev1.Secret, error) {
	var secret *corev1.Secret
	var missing error
	err := wait.PollUntilContextTimeout(ctx, tokenPoll, tokenTimeout, true, func(ctx context.Context) (bool, error) {
		var err error
		secret, err = client.CoreV1().Secrets(o.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, fmt.Errorf("read token secret %s/%s: %w", o.Namespace, name, err)
		}
		missing = unfilled(secret)
		return missing == nil, nil
	})
	if wait.Interrupted(err) && missing != nil {
		return nil, fmt.Errorf("%w: is the controller manager of this cluster running?", missing)
	}
	return secret, err
}

func unfilled(secret *corev1.Secret) error {
	for _, key := range []string{corev1.ServiceAccountRootCAKey, corev1.ServiceAccountTokenKey} {
		if len(secret.Data[key]) == 0 {
			return fmt.Errorf("no %q data found in secret %s/%s", key, secret.Namespace, secret.Name)
		}
	}
	return nil
}
