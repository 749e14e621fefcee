package registry

import (
	"cmp"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/isthmus-mesh/isthmus/api/label"
	"github.com/isthmus-mesh/isthmus/internal/model"
)

// PodFrom trims a Pod. It gives nil for one that has ended.
func PodFrom(p *corev1.Pod) *Pod {
	if p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
		return nil
	}
	ips := make([]string, 0, len(p.Status.PodIPs)+1)
	for _, ip := range p.Status.PodIPs {
		ips = append(ips, ip.IP)
	}
	if len(ips) == 0 && p.Status.PodIP != "" {
		ips = append(ips, p.Status.PodIP)
	}
	return &Pod{
		Namespace: p.Namespace, Name: p.Name,
		ServiceAccount: cmp.Or(p.Spec.ServiceAccountName, "default"),
		Node:           p.Spec.NodeName,
		Addresses:      addresses(ips),
		Labels:         p.Labels,
		Workload:       workloadName(p),
	}
}

// workloadName names what people wrote to get the pod: a Deployment stands behind its ReplicaSet, a CronJob behind its
// Job. Kubernetes forms the middle name as the outer one, a dash and a hash or a time.
func workloadName(p *corev1.Pod) string {
	for _, owner := range p.OwnerReferences {
		if owner.Controller == nil || !*owner.Controller {
			continue
		}
		switch owner.Kind {
		case "ReplicaSet":
			if hash := p.Labels["pod-template-hash"]; hash != "" {
				return strings.TrimSuffix(owner.Name, "-"+hash)
			}
		case "ReplicationController":
			if config := p.Labels["deploymentconfig"]; config != "" {
				return config
			}
		case "Job":
			return cronJobName(owner.Name)
		}
		return owner.Name
	}
	return p.Name
}

// cronJobName cuts the time, in minutes or seconds, that a CronJob puts behind the names of its Jobs.
func cronJobName(job string) string {
	at := strings.LastIndexByte(job, '-')
	if at < 0 || len(job)-at-1 < 8 || strings.Trim(job[at+1:], "0123456789") != "" {
		return job
	}
	return job[:at]
}

// canonicalName is what the pod's workload is called in metrics
// (https://istio.io/latest/docs/ops/configuration/mesh/canonical-service/ gives the order of the labels).
func (p *Pod) canonicalName() string {
	return cmp.Or(p.Labels[label.CanonicalName], p.Labels["app.kubernetes.io/name"], p.Labels["app"], p.Workload)
}

func (p *Pod) canonicalRevision() string {
	return cmp.Or(p.Labels[label.CanonicalRevision], p.Labels["app.kubernetes.io/version"], p.Labels["version"], "latest")
}

// mtls says whether a proxy in the pod takes mutual TLS.
func (p *Pod) mtls() bool { return p.Labels[label.TLSMode] == "istio" }

// locality is where the pod runs: what its label says, in which dots stand for slashes, else that of its node.
func (p *Pod) locality(o *Objects) model.Locality {
	text := p.Labels[localityLabel]
	if text == "" {
		return o.locality(p.Node)
	}
	region, rest, _ := strings.Cut(strings.ReplaceAll(text, ".", "/"), "/")
	zone, subzone, _ := strings.Cut(rest, "/")
	return model.Locality{Region: region, Zone: zone, Subzone: subzone}
}
