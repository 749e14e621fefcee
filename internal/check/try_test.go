package check

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// TestTryTellsCausesApart sends real requests over TLS on loopback.
func TestTryTellsCausesApart(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.Header.Get("Authorization") {
		case "Bearer good":
			_, _ = w.Write([]byte(`{"kind":"ServiceList","apiVersion":"v1","metadata":{},"items":[]}`))
		case "Bearer weak":
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","message":"services is forbidden","code":403}`))
		default:
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","message":"Unauthorized","code":401}`))
		}
	}))
	t.Cleanup(server.Close)
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	closed := httptest.NewTLSServer(http.NotFoundHandler())
	closed.Close()
	cases := []struct {
		name, url, token string
		authority        []byte
		state            State
		reason           string
	}{
		{"works", server.URL, "good", own, OK, "takes the credential"},
		{"token wrong", server.URL, "bad", own, Failed, "token wrong"},
		{"no rights", server.URL, "weak", own, Failed, "forbids reading"},
		{"other authority", server.URL, "good", trust.EncodeCertificate(newRoot(t, "other").Raw), Failed, "not from the authority in the Secret"},
		{"other name", strings.Replace(server.URL, "127.0.0.1", "localhost", 1), "good", own, Failed, "TLS with"},
		{"nobody there", closed.URL, "good", own, Failed, "cannot be reached from here"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			config := clientcmdapi.NewConfig()
			config.Clusters["c"] = &clientcmdapi.Cluster{Server: c.url, CertificateAuthorityData: c.authority}
			config.AuthInfos["c"] = &clientcmdapi.AuthInfo{Token: c.token}
			config.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "c"}
			config.CurrentContext = "c"
			kubeconfig, err := clientcmd.Write(*config)
			if err != nil {
				t.Fatal(err)
			}
			address, err := try(t.Context(), kubeconfig)
			j := joining{from: &facts{}, to: &facts{}}
			got := j.judgeCredential(address, err, false)
			if got.State != c.state || !strings.Contains(got.Reason, c.reason) {
				t.Errorf("got %s %s, want %s with %q", got.State, got.Reason, c.state, c.reason)
			}
		})
	}
}
