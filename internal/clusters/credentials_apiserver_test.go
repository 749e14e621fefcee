//go:build apiserver

package clusters_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	istiofake "istio.io/client-go/pkg/clientset/versioned/fake"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/isthmus-mesh/isthmus/internal/clusters"
	"github.com/isthmus-mesh/isthmus/internal/registry"
)

// istiodMay lets istiod's account get, list and watch resources, everywhere or in one namespace.
func istiodMay(t *testing.T, client kubernetes.Interface, namespace string, groups []string, resources ...string) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "istiod"}
	rules := []rbacv1.PolicyRule{{APIGroups: groups, Resources: resources, Verbs: []string{"get", "list", "watch"}}}
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "default", Name: "istiod"}}
	ref := func(kind string) rbacv1.RoleRef {
		return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: "istiod"}
	}
	rbac, options := client.RbacV1(), metav1.CreateOptions{}
	var err, errBind error
	if namespace == "" {
		_, err = rbac.ClusterRoles().Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}, options)
		_, errBind = rbac.ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: ref("ClusterRole")}, options)
	} else {
		_, err = rbac.Roles(namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: rules}, options)
		_, errBind = rbac.RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: ref("Role")}, options)
	}
	if err != nil || errBind != nil {
		t.Fatal(err, errBind)
	}
}

// TestRealAPIServersForbidSecrets reads one with the rights that istiod has. Run it as TestRealAPIServers.
func TestRealAPIServersForbidSecrets(t *testing.T) {
	server := startAPIServer(t)
	admin := kubernetes.NewForConfigOrDie(server.config)
	istiodMay(t, admin, "", []string{"", "discovery.k8s.io"}, "namespaces", "nodes", "services", "pods", "endpointslices")
	istiodMay(t, admin, "default", []string{""}, "secrets")
	if _, err := admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "edge"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "edge", Name: "gateway", Labels: map[string]string{"istio": "ingress"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "istio-proxy", Image: "auto"}}},
	}
	if _, err := admin.CoreV1().Pods("edge").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	secrets := admin.CoreV1().Secrets("edge")
	if _, err := secrets.Create(t.Context(), certificateSecret(t, "edge", "shop"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	gateways := istioAPI{istiofake.NewSimpleClientset()}
	if _, err := gateways.NetworkingV1().Gateways("shop").Create(t.Context(), gatewayFor("shop"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	config := rest.CopyConfig(server.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:default:istiod"}
	set := clusters.New(clusters.Options{
		Cluster: "cluster1", Namespace: "default", Client: kubernetes.NewForConfigOrDie(config), Istio: gateways,
		Log: slog.New(slog.DiscardHandler), Probe: time.Second,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- set.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	var shop *registry.Credential
	until := func(what string, ok func() bool) {
		t.Helper()
		deadline := time.After(60 * time.Second)
		for shop == nil || !ok() {
			select {
			case update := <-set.Changes():
				shop = update.Clusters[0].Credential("edge", "shop")
			case <-deadline:
				t.Fatalf("not in time: %s; Secret %+v, status %+v", what, shop, set.Status())
			}
		}
	}
	until("that it may not be read", func() bool { return shop.Unread != "" })
	if status := set.Status()[0]; status.State != clusters.Synced {
		t.Errorf("status %+v, want synced", status)
	}
	istiodMay(t, admin, "edge", []string{""}, "secrets")
	until("the Secret", func() bool { return shop.Unread == "" && shop.Model != nil && shop.Pair == "" })
	first := shop.Model.Certificates
	if _, err := secrets.Update(t.Context(), certificateSecret(t, "edge", "shop"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	until("the rotated Secret", func() bool { return shop.Model.Certificates != first })
	if err := secrets.Delete(t.Context(), "shop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until("that it is gone", func() bool { return shop.Model == nil && shop.Unread == "" })
}
