package check

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/isthmus-mesh/isthmus/api/label"
	"github.com/isthmus-mesh/isthmus/internal/probe"
	"github.com/isthmus-mesh/isthmus/internal/version"
)

// ProbeNamespace is where probes live while verify runs.
const ProbeNamespace = "isthmus-verify"

const (
	probeContainer = "probe"
	managedBy      = "app.kubernetes.io/managed-by"
	manager        = "isthmus-verify"
	// probeUser is any but the proxy's, whose traffic is not captured.
	probeUser = 65532
)

// probeName is what the probe of a cluster is called: its Deployment, Service and service account. Names of clusters need not be
// names of Services.
func probeName(cluster string) string {
	name := "probe-" + cluster
	if len(validation.IsDNS1035Label(name)) == 0 {
		return name
	}
	sum := sha256.Sum256([]byte(cluster))
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(cluster))
	return "probe-" + safe[:min(len(safe), 40)] + "-" + hex.EncodeToString(sum[:4])
}

// namespaceOf is the namespace of the probes in a cluster, labelled for the control plane's revision.
func namespaceOf(f *facts) *corev1.Namespace {
	labels := map[string]string{managedBy: manager}
	if f.revision == "" || f.revision == "default" {
		labels[label.Injection] = "enabled"
	} else {
		labels[label.Revision] = f.revision
	}
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ProbeNamespace, Labels: labels}}
}

func accountOf(f *facts) *corev1.ServiceAccount {
	account := &corev1.ServiceAccount{ObjectMeta: probeMeta(f.name())}
	for _, name := range f.settings.ImagePullSecrets {
		account.ImagePullSecrets = append(account.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	return account
}

// serviceOf selects the probes of one cluster, so that a request to it can only be answered there.
func serviceOf(cluster string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: probeMeta(cluster),
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": probeName(cluster)},
			Ports:    []corev1.ServicePort{{Name: "http", Port: probe.Port, TargetPort: intstr.FromInt32(probe.Port)}},
		},
	}
}

func deploymentOf(f *facts) *appsv1.Deployment {
	name := probeName(f.name())
	replicas, grace, user := int32(1), int64(1), int64(probeUser)
	yes, no := true, false
	return &appsv1.Deployment{
		ObjectMeta: probeMeta(f.name()),
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name, managedBy: manager}},
				Spec: corev1.PodSpec{
					ServiceAccountName:            name,
					TerminationGracePeriodSeconds: &grace,
					EnableServiceLinks:            &no,
					SecurityContext: &corev1.PodSecurityContext{
						RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
					},
					Containers: []corev1.Container{{
						Name: probeContainer, Image: imageOf(f), ImagePullPolicy: f.settings.ImagePullPolicy,
						Command: []string{probe.Binary, "probe", "serve", "--cluster", f.name()},
						Ports:   []corev1.ContainerPort{{Name: "http", ContainerPort: probe.Port}},
						ReadinessProbe: &corev1.Probe{
							ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(probe.Port)}},
							PeriodSeconds: 1, TimeoutSeconds: 2,
						},
						Resources: corev1.ResourceRequirements{
							Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("5m"), corev1.ResourceMemory: resource.MustParse("16Mi")},
							Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
						},
						SecurityContext: &corev1.SecurityContext{
							RunAsUser: &user, RunAsGroup: &user, AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
							Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
						},
					}},
				},
			},
		},
	}
}

func probeMeta(cluster string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: probeName(cluster), Namespace: ProbeNamespace, Labels: map[string]string{managedBy: manager, "app": probeName(cluster)},
	}
}

// imageOf is the proxy's image in a cluster: the sidecar needs it too, so it is there or a missing one is found out.
func imageOf(f *facts) string {
	s := f.settings
	if strings.Contains(s.Image, "/") {
		return s.Image
	}
	return cmp.Or(s.Hub, version.Hub) + "/" + cmp.Or(s.Image, "proxy") + ":" + cmp.Or(s.Tag, version.Version)
}

// probeURL is where the probe of a cluster answers, as a client in any cluster calls it.
func probeURL(cluster string) string {
	return "http://" + probeName(cluster) + "." + ProbeNamespace + ":" + strconv.Itoa(probe.Port) + "/"
}
