package inject

import (
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// workload is what people think of as the pod's owner: the Deployment, not its ReplicaSet.
type workload struct {
	apiVersion, kind, name string
}

// scheduledJob matches the names that CronJob gives its Jobs: its own name and the minute since 1970.
var scheduledJob = regexp.MustCompile(`^(.+)-\d{8,10}$`)

func workloadOf(pod *corev1.Pod) workload {
	w := workload{"v1", "Pod", pod.Name}
	if w.name == "" {
		w.name = strings.TrimSuffix(pod.GenerateName, "-")
	}
	for _, owner := range pod.OwnerReferences {
		if owner.Controller == nil || !*owner.Controller {
			continue
		}
		w = workload{owner.APIVersion, owner.Kind, owner.Name}
		hash := pod.Labels["pod-template-hash"]
		switch owner.Kind {
		case "ReplicaSet":
			if name, cut := strings.CutSuffix(owner.Name, "-"+hash); cut && hash != "" {
				w.kind, w.name = "Deployment", name
			}
		case "Job":
			if m := scheduledJob.FindStringSubmatch(owner.Name); m != nil {
				w.kind, w.name = "CronJob", m[1]
			}
		case "ReplicationController":
			if name := pod.Labels["deploymentconfig"]; name != "" {
				w = workload{"apps.openshift.io/v1", "DeploymentConfig", name}
			}
		}
	}
	return w
}

// owner is the workload as ISTIO_META_OWNER has it.
func (w workload) owner(namespace string) string {
	return "kubernetes://apis/" + w.apiVersion + "/namespaces/" + namespace + "/" + strings.ToLower(w.kind) + "s/" + w.name
}
