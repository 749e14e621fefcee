package remotesecret

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// ReaderRules are the rights that control planes of other clusters have here through a remote Secret: to read what makes up the
// mesh, and to ask whether a caller's token is genuine. They are those that the base chart grants by default, so that it
// does not matter which of the two made the account.
func ReaderRules() []rbacv1.PolicyRule {
	read := []string{"get", "list", "watch"}
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"services", "pods", "nodes", "namespaces", "endpoints"}, Verbs: read},
		{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: read},
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"istio-ca-root-cert"}, Verbs: []string{"get"}},
		{
			APIGroups: []string{"networking.istio.io"},
			Resources: []string{"gateways", "workloadentries", "serviceentries"},
			Verbs:     read,
		},
		{APIGroups: []string{"gateway.networking.k8s.io"}, Resources: []string{"gateways"}, Verbs: read},
		{APIGroups: []string{"multicluster.x-k8s.io"}, Resources: []string{"serviceexports", "serviceimports"}, Verbs: read},
		{APIGroups: []string{"apps"}, Resources: []string{"replicasets"}, Verbs: read},
		{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"tokenreviews"}, Verbs: []string{"create"}},
	}
}

// createReader makes a service account with the reader's rights. What exists already stays as it is.
func createReader(ctx context.Context, client kubernetes.Interface, namespace, account string) error {
	role := "istio-reader-clusterrole-" + namespace
	binding := role
	if account != DefaultServiceAccount(TypeRemote) {
		binding += "-" + account // the plain name belongs to the account that the charts install
	}
	named := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "istio-reader"}}
	}
	steps := []struct {
		what   string
		create func() error
	}{
		{"namespace " + namespace, func() error {
			_, err := client.CoreV1().Namespaces().Create(ctx,
				&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
			return err
		}},
		{"service account " + namespace + "/" + account, func() error {
			_, err := client.CoreV1().ServiceAccounts(namespace).Create(ctx,
				&corev1.ServiceAccount{ObjectMeta: named(account)}, metav1.CreateOptions{})
			return err
		}},
		{"cluster role " + role, func() error {
			_, err := client.RbacV1().ClusterRoles().Create(ctx,
				&rbacv1.ClusterRole{ObjectMeta: named(role), Rules: ReaderRules()}, metav1.CreateOptions{})
			return err
		}},
		{"cluster role binding " + binding, func() error {
			_, err := client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
				ObjectMeta: named(binding),
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
				Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account}},
			}, metav1.CreateOptions{})
			return err
		}},
	}
	for _, step := range steps {
		if err := step.create(); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create %s: %w", step.what, err)
		}
	}
	return nil
}
