package config

import (
	"fmt"

	clientcmd "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"

	"github.com/isthmus-mesh/isthmus/lab/internal/pki"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

// Access is one cluster and the identity to use there.
type Access struct {
	Cluster plan.Cluster
	CA      []byte
	User    pki.Pair
}

// Kubeconfig renders a kubeconfig with one context a cluster, named as the cluster; the first is the current one.
func Kubeconfig(accesses ...Access) ([]byte, error) {
	config := clientcmd.Config{APIVersion: "v1", Kind: "Config"}
	for _, a := range accesses {
		name := a.Cluster.Name
		config.Clusters = append(config.Clusters, clientcmd.NamedCluster{Name: name, Cluster: clientcmd.Cluster{
			Server: a.Cluster.APIServer(), CertificateAuthorityData: a.CA,
		}})
		config.AuthInfos = append(config.AuthInfos, clientcmd.NamedAuthInfo{Name: name, AuthInfo: clientcmd.AuthInfo{
			ClientCertificateData: a.User.Cert, ClientKeyData: a.User.Key,
		}})
		config.Contexts = append(config.Contexts, clientcmd.NamedContext{Name: name, Context: clientcmd.Context{Cluster: name, AuthInfo: name}})
	}
	if len(accesses) > 0 {
		config.CurrentContext = accesses[0].Cluster.Name
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("write kubeconfig: %w", err)
	}
	return text, nil
}
