// Package apiserver runs real Kubernetes API servers on loopback: kube-apiserver with its etcd, and nothing else. Without
// controllers and kubelets, what is written stays as it was written, which is what the bench and the tests of ring 3 want.
package apiserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/isthmus-mesh/isthmus/bench/process"
)

// startTimeout bounds how long a server may take until it is ready; generous for a machine under load.
const startTimeout = 2 * time.Minute

// Options are where a server comes from and where it stays.
type Options struct {
	Programs string // folder that holds etcd and kube-apiserver
	Dir      string // for its data, certificates and logs; it must exist
	Cluster  string // what the kubeconfig calls it
}

// Server is a running API server. It lets its only user do everything.
type Server struct {
	KubeconfigFile string
	Kubeconfig     []byte
	Config         *rest.Config // with no limit of requests

	etcd, api *process.Process
}

// Start runs a server and waits until it is ready.
func Start(ctx context.Context, o Options) (*Server, error) {
	s := &Server{}
	if err := s.start(ctx, o); err != nil {
		s.Stop()
		return nil, fmt.Errorf("API server of %s: %w", o.Cluster, err)
	}
	return s, nil
}

// Stop ends the server.
func (s *Server) Stop() {
	if s.api != nil {
		s.api.Stop()
	}
	if s.etcd != nil {
		s.etcd.Stop()
	}
}

func (s *Server) start(ctx context.Context, o Options) error {
	for _, program := range []string{"etcd", "kube-apiserver"} {
		if _, err := os.Stat(filepath.Join(o.Programs, program)); err != nil {
			return fmt.Errorf("%w: `isthmus-lab build` makes it and prints its folder", err)
		}
	}
	addresses := [3]string{}
	for i := range addresses {
		var err error
		if addresses[i], err = process.FreeAddress(); err != nil {
			return err
		}
	}
	store := "http://" + addresses[0]
	if err := s.startEtcd(o, store, "http://"+addresses[1]); err != nil {
		return err
	}
	certs := filepath.Join(o.Dir, o.Cluster+"-certs")
	token, err := s.startAPI(o, store, addresses[2], certs)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var root []byte
	err = s.api.Await(ctx, "its certificate is there", func(context.Context) (err error) {
		root, err = os.ReadFile(filepath.Join(certs, "apiserver.crt"))
		return err
	})
	if err != nil {
		return err
	}
	if err := s.writeKubeconfig(o, "https://"+addresses[2], token, root); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(s.Config)
	if err != nil {
		return err
	}
	return s.api.Await(ctx, "it is ready", func(ctx context.Context) error {
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// startEtcd trades safety for speed: what it holds is thrown away anyway.
func (s *Server) startEtcd(o Options, client, peer string) (err error) {
	s.etcd, err = process.Start(o.Dir, o.Cluster+"-etcd", filepath.Join(o.Programs, "etcd"),
		"--data-dir", filepath.Join(o.Dir, o.Cluster+"-etcd"), "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer,
		"--unsafe-no-fsync", "--log-level", "error")
	return err
}

func (s *Server) startAPI(o Options, store, address, certs string) (token string, err error) {
	key, tokens := filepath.Join(o.Dir, o.Cluster+"-accounts.key"), filepath.Join(o.Dir, o.Cluster+"-tokens.csv")
	if err := writeKey(key); err != nil {
		return "", err
	}
	token = rand.Text()
	if err := os.WriteFile(tokens, []byte(token+",admin,admin,system:masters\n"), 0o600); err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	s.api, err = process.Start(o.Dir, o.Cluster+"-apiserver", filepath.Join(o.Programs, "kube-apiserver"),
		"--etcd-servers", store, "--bind-address", "127.0.0.1", "--secure-port", port, "--cert-dir", certs,
		"--token-auth-file", tokens, "--authorization-mode", "AlwaysAllow",
		// Pods may name service accounts that nobody made.
		"--disable-admission-plugins", "ServiceAccount",
		"--service-account-issuer", "https://kubernetes.default.svc",
		"--service-account-key-file", key, "--service-account-signing-key-file", key,
		"--service-cluster-ip-range", "10.0.0.0/12", "--endpoint-reconciler-type", "none",
		"--enable-priority-and-fairness=false", "--max-requests-inflight", "0", "--max-mutating-requests-inflight", "0")
	return token, err
}

func writeKey(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600)
}

func (s *Server) writeKubeconfig(o Options, url, token string, root []byte) error {
	file := clientcmdapi.NewConfig()
	file.CurrentContext = o.Cluster
	file.Clusters[o.Cluster] = &clientcmdapi.Cluster{Server: url, CertificateAuthorityData: root}
	file.AuthInfos[o.Cluster] = &clientcmdapi.AuthInfo{Token: token}
	file.Contexts[o.Cluster] = &clientcmdapi.Context{Cluster: o.Cluster, AuthInfo: o.Cluster}
	var err error
	if s.Kubeconfig, err = clientcmd.Write(*file); err != nil {
		return err
	}
	s.KubeconfigFile = filepath.Join(o.Dir, o.Cluster+".kubeconfig")
	if err := os.WriteFile(s.KubeconfigFile, s.Kubeconfig, 0o600); err != nil {
		return err
	}
	if s.Config, err = clientcmd.RESTConfigFromKubeConfig(s.Kubeconfig); err != nil {
		return err
	}
	s.Config.QPS = -1
	return nil
}
