package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/isthmus-mesh/isthmus/lab/internal/config"
	"github.com/isthmus-mesh/isthmus/lab/internal/pki"
	"github.com/isthmus-mesh/isthmus/lab/internal/plan"
)

// writeAccess makes the keys, certificates and kubeconfigs of all clusters, unless they are there: a lab that is started again keeps them.
func writeAccess(lab plan.Lab, places config.Places, kubeconfig string) error {
	if _, err := os.Stat(kubeconfig); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for kubeconfig: %w", err)
	}
	var admins []config.Access
	for _, c := range lab.Clusters {
		made, err := pki.NewCluster(c, time.Now())
		if err != nil {
			return err
		}
		if err := writePairs(places.PKIDir(c), made); err != nil {
			return err
		}
		if err := writeComponentAccess(c, places, made); err != nil {
			return err
		}
		admins = append(admins, config.Access{Cluster: c, CA: made.CA.Cert, User: made.Pairs[pki.AdminPair]})
	}
	// Written last: it stands for all the others.
	return writeKubeconfig(kubeconfig, admins...)
}

func writePairs(dir string, made pki.Cluster) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder of keys: %w", err)
	}
	for name, pair := range made.Pairs {
		for suffix, data := range map[string][]byte{".crt": pair.Cert, ".key": pair.Key} {
			if err := os.WriteFile(filepath.Join(dir, name+suffix), data, 0o600); err != nil {
				return fmt.Errorf("write key or certificate: %w", err)
			}
		}
	}
	return nil
}

func writeComponentAccess(c plan.Cluster, places config.Places, made pki.Cluster) error {
	names := []string{"kube-controller-manager", "kube-scheduler", "kube-proxy", "cloud-controller"}
	for _, n := range c.Nodes {
		names = append(names, pki.KubeletPair(n))
	}
	for _, name := range names {
		access := config.Access{Cluster: c, CA: made.CA.Cert, User: made.Pairs[name]}
		if err := writeKubeconfig(places.Kubeconfig(c, name), access); err != nil {
			return err
		}
	}
	return nil
}

func writeKubeconfig(file string, accesses ...config.Access) error {
	data, err := config.Kubeconfig(accesses...)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}
