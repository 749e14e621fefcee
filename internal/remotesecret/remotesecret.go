// Package remotesecret makes and reads the Secret that joins a cluster: a kubeconfig under the cluster's name.
//
// The command line makes it (Create), the control plane reads it (Parse, RESTConfig). It never watches anything, never
// connects to the cluster that a kubeconfig names, and never keeps a credential.
package remotesecret

import (
	"crypto/sha256"
	"encoding/hex"
)

// Names that Istio gave to these Secrets; people's scripts select on them. Their labels are label.MultiCluster and
// label.ClusterName.
const (
	// NamePrefix stands before the cluster's name in the name of a Secret of type remote.
	NamePrefix = "istio-remote-secret-"
	// ConfigSecretName is the Secret of type config, which an external control plane mounts as its own kubeconfig.
	ConfigSecretName = "istio-kubeconfig"
	// ConfigSecretKey is the one key of a Secret of type config.
	ConfigSecretKey = "config"
)

// Remote is one cluster that a Secret gives access to. The zero value is no remote.
type Remote struct {
	Cluster    string // the cluster's name, which is the key in the Secret
	Kubeconfig []byte // as it stands in the Secret; RESTConfig takes it
	Hash       string // of Kubeconfig: equal hashes mean that nothing changed
}

// Problem is one entry of a Secret that cannot be used, and why. The other entries still count.
type Problem struct {
	Cluster string // the key in the Secret; empty when the problem is about the whole Secret
	Text    string // what is wrong and what to do, for people to read
}

func (p Problem) String() string {
	if p.Cluster == "" {
		return p.Text
	}
	return p.Cluster + ": " + p.Text
}

// Hash identifies the bytes of a kubeconfig without giving them away.
func Hash(kubeconfig []byte) string {
	sum := sha256.Sum256(kubeconfig)
	return hex.EncodeToString(sum[:])
}
