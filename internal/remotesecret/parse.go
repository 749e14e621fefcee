package remotesecret

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Parse reads the clusters of one Secret, sorted by name: every key is a cluster's name and its value a kubeconfig. An entry
// that cannot be used becomes a Problem and leaves the others alone. Nothing is contacted, so a cluster that is down is
// no problem here.
//
// The words in allow lift single refusals of RESTConfig, as PILOT_INSECURE_MULTICLUSTER_KUBECONFIG_OPTIONS does.
func Parse(secret *corev1.Secret, allow ...string) ([]Remote, []Problem) {
	if len(secret.Data) == 0 {
		return nil, []Problem{{Text: "the Secret holds no kubeconfig; make it again with create-remote-secret"}}
	}
	var remotes []Remote
	var problems []Problem
	for _, cluster := range slices.Sorted(maps.Keys(secret.Data)) {
		kubeconfig := secret.Data[cluster]
		if _, err := RESTConfig(kubeconfig, allow...); err != nil {
			problems = append(problems, Problem{Cluster: cluster, Text: err.Error()})
			continue
		}
		remotes = append(remotes, Remote{Cluster: cluster, Kubeconfig: kubeconfig, Hash: Hash(kubeconfig)})
	}
	return remotes, problems
}
