package remotesecret_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/isthmus-mesh/isthmus/internal/remotesecret"
)

// kubeconfig returns one for the given server with the given fields of its user.
func kubeconfig(server, user string) []byte {
	return []byte(`apiVersion: v1
kind: Config
clusters:
- name: c
  cluster: {server: "` + server + `"}
contexts:
- name: c
  context: {cluster: c, user: c}
current-context: c
users:
- name: c
  user: {` + user + `}
`)
}

func TestParseKeepsGoodEntriesBesideBadOnes(t *testing.T) {
	t.Parallel()
	good := kubeconfig("https://10.0.0.1:6443", "token: abc")
	remotes, problems := remotesecret.Parse(&corev1.Secret{Data: map[string][]byte{
		"west": good,
		"east": good,
		"mars": []byte("{nonsense"),
		"moon": nil,
	}})
	want := []remotesecret.Remote{
		{Cluster: "east", Kubeconfig: good, Hash: remotesecret.Hash(good)},
		{Cluster: "west", Kubeconfig: good, Hash: remotesecret.Hash(good)},
	}
	if diff := cmp.Diff(want, remotes); diff != "" {
		t.Errorf("remotes (-want +got):\n%s", diff)
	}
	if len(problems) != 2 || problems[0].Cluster != "mars" || problems[1].String() != "moon: the kubeconfig is empty" {
		t.Errorf("problems = %v, want one for mars and one for moon", problems)
	}
}

func TestParseOfEmptySecretIsAProblem(t *testing.T) {
	t.Parallel()
	remotes, problems := remotesecret.Parse(&corev1.Secret{})
	if len(remotes) != 0 || len(problems) != 1 || !strings.Contains(problems[0].String(), "no kubeconfig") {
		t.Errorf("got %v, %v, want one problem", remotes, problems)
	}
}

func TestRESTConfigRefusesWhatReachesBeyondTheSecret(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, user, allow, want string }{
		{name: "token", user: "token: abc"},
		{name: "inline certificate", user: "client-certificate-data: YQ==, client-key-data: YQ=="},
		{name: "oidc", user: "auth-provider: {name: oidc, config: {client-id: a, idp-issuer-url: 'https://idp'}}"},
		{name: "exec", user: "exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, interactiveMode: Never}", want: "exec is not allowed"},
		{
			name: "exec lifted", allow: "exec",
			user: "exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, interactiveMode: Never}",
		},
		{name: "auth provider", user: "auth-provider: {name: gcp}", want: "auth provider gcp is not allowed"},
		{
			name: "oidc with a file", want: "idp-certificate-authority is not allowed",
			user: "auth-provider: {name: oidc, config: {idp-certificate-authority: /etc/shadow}}",
		},
		{name: "token file", user: "tokenFile: /var/run/secrets/token", want: "tokenFile is not allowed"},
		{name: "client key", user: "client-key: /etc/key", want: "clientKey is not allowed"},
		{name: "client key lifted only", user: "client-key: /k, client-certificate: /c", allow: "clientKey", want: "clientCertificate is not allowed"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			config, err := remotesecret.RESTConfig(kubeconfig("https://10.0.0.1:6443", c.user), c.allow)
			switch {
			case c.want == "" && err != nil:
				t.Fatalf("refused: %v", err)
			case c.want == "" && config.Host != "https://10.0.0.1:6443":
				t.Errorf("host = %q", config.Host)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("err = %v, want one that holds %q", err, c.want)
			}
		})
	}
}

func TestRESTConfigChecksUsersThatTheContextDoesNotUse(t *testing.T) {
	t.Parallel()
	config := append(kubeconfig("https://10.0.0.1:6443", "token: abc"), "- name: other\n  user: {tokenFile: /x}\n"...)
	if _, err := remotesecret.RESTConfig(config); err == nil || !strings.Contains(err.Error(), `user "other"`) {
		t.Errorf("err = %v, want a refusal of user other", err)
	}
}

func TestRESTConfigNeedsAServerAndAContext(t *testing.T) {
	t.Parallel()
	if config, err := remotesecret.RESTConfig(kubeconfig("", "token: abc")); err == nil {
		t.Errorf("a kubeconfig without a server gave %v", config.Host)
	}
	without := strings.ReplaceAll(string(kubeconfig("https://10.0.0.1:6443", "token: abc")), "current-context: c\n", "")
	if _, err := remotesecret.RESTConfig([]byte(without)); err == nil || !strings.Contains(err.Error(), "current-context") {
		t.Errorf("err = %v, want one about current-context", err)
	}
}

func TestHashChangesWithTheCredential(t *testing.T) {
	t.Parallel()
	if remotesecret.Hash([]byte("a")) == remotesecret.Hash([]byte("b")) {
		t.Error("two kubeconfigs have one hash")
	}
}
