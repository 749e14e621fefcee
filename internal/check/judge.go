package check

import (
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// maxSkew is how far clocks may be apart before it is worth a note: certificates are dated some seconds back.
const maxSkew = 5 * time.Second

// kubectl is the start of a command for the cluster.
func (f *facts) kubectl(format string, args ...any) string {
	return "kubectl --context=" + f.cluster.Context + " " + fmt.Sprintf(format, args...)
}

// judgeControlPlane says whether the control plane of a cluster works.
func judgeControlPlane(f *facts) Verdict {
	if f.unreachable != nil {
		return failed(fmt.Sprintf("check the server and credential of context %s in the kubeconfig: %s", f.cluster.Context, f.kubectl("version")),
			"the API server gives no answer: %v", f.unreachable)
	}
	if f.problems != nil {
		return failed("let this user read the cluster: "+f.kubectl("auth whoami"), "%s", oneLine(f.problems.Error()))
	}
	if len(f.deployments) == 0 {
		return failed(fmt.Sprintf("isthmus install --context=%s -f FILE", f.cluster.Context), "no Deployment of istiod in namespace %s", f.namespace)
	}
	d := f.deployments[0]
	if d.Spec.Replicas != nil && *d.Spec.Replicas == 0 {
		return failed(f.kubectl("scale -n %s deployment/%s --replicas=1", f.namespace, d.Name),
			"control plane down: Deployment %s is scaled to 0", d.Name)
	}
	var unready []string
	for _, i := range f.istiods {
		if err := f.ready[i.pod]; err != nil {
			unready = append(unready, fmt.Sprintf("%s: %s", i.pod, oneLine(err.Error())))
		}
	}
	fix := f.kubectl("describe pods -n %s -l app=istiod", f.namespace)
	switch {
	case len(f.istiods) == 0:
		return failed(f.kubectl("describe -n %s deployment/%s", f.namespace, d.Name),
			"control plane down: Deployment %s has no pods%s", d.Name, replicaFailure(d))
	case len(unready) == len(f.istiods):
		return failed(fix, "control plane down: no istiod pod is ready: %s", strings.Join(unready, "; "))
	case len(unready) > 0:
		return note("%d of %d istiod pods are not ready: %s", len(unready), len(f.istiods), strings.Join(unready, "; "))
	case d.Status.AvailableReplicas == 0:
		return failed(fix, "control plane down: Deployment %s has no available pod", d.Name)
	}
	return ok("%d of %d ready, version %s", len(f.istiods), len(f.istiods), strings.Join(f.runs(), ", "))
}

// replicaFailure is why the pods of a Deployment are not made: a quota or a policy.
func replicaFailure(d appsv1.Deployment) string {
	for _, condition := range d.Status.Conditions {
		if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
			return ": " + condition.Message
		}
	}
	return ""
}

// runs lists the versions of the control plane.
func (f *facts) runs() []string {
	return slices.Compact(slices.Sorted(maps.Values(f.versions)))
}

// judgeNames finds clusters that call themselves alike; it returns nothing for a name that only one has.
func judgeNames(f *facts, all []*facts) (Verdict, bool) {
	var same []string
	for _, other := range all {
		if other.own && other.name() == f.name() {
			same = append(same, other.cluster.Context)
		}
	}
	if !f.own || len(same) < 2 {
		return Verdict{}, false
	}
	return failed(fmt.Sprintf("isthmus install --context=%s --set values.global.multiCluster.clusterName=NAME …", f.cluster.Context),
		"contexts %s all call their cluster %q, so its remote Secrets and endpoints cannot be told apart", strings.Join(same, ", "), f.name()), true
}

// judgeClock notes a clock that is off; it returns nothing when it is right.
func judgeClock(f *facts) (Verdict, bool) {
	if f.skew.Abs() <= maxSkew {
		return Verdict{}, false
	}
	direction := "ahead of"
	if f.skew < 0 {
		direction = "behind"
	}
	return note("the API server's clock is %s %s this machine's: certificates may look not yet valid or expired",
		f.skew.Abs().Round(time.Second), direction), true
}

// judgeVersions notes control planes of different versions; it returns nothing when they are the same.
func judgeVersions(a, b *facts) (Verdict, bool) {
	if len(a.versions) == 0 || len(b.versions) == 0 || slices.Equal(a.runs(), b.runs()) {
		return Verdict{}, false
	}
	return note("control planes differ: %s in %s, %s in %s",
		strings.Join(a.runs(), ", "), a.name(), strings.Join(b.runs(), ", "), b.name()), true
}

// judgeRoots says whether workloads of two clusters trust each other.
func judgeRoots(a, b *facts, now time.Time) Verdict {
	for _, f := range []*facts{a, b} {
		if f.rootsErr != nil {
			return failed(f.kubectl("logs -n %s -l app=istiod --tail=20", f.namespace), "the root of %s is not known: %v", f.name(), f.rootsErr)
		}
	}
	fix := "give both clusters intermediates of one root: isthmus cert intermediate NAME --dir certs; then put them into Secret cacerts " +
		"of each cluster and restart istiod and the workloads"
	if a.domain() != b.domain() {
		return failed("isthmus install --set meshConfig.trustDomain=DOMAIN … with one value for both",
			"trust domains differ: %s in %s, %s in %s", a.domain(), a.name(), b.domain(), b.name())
	}
	if !shareRoot(a.roots, b.roots) {
		return failed(fix, "other root: %s has %s, %s has %s", a.name(), fingerprints(a.roots, whole), b.name(), fingerprints(b.roots, whole))
	}
	for _, root := range a.roots.Roots() {
		if now.After(root.NotAfter) {
			return failed(fix, "the root %s expired on %s", short(trust.Fingerprint(root)), root.NotAfter.Format(time.DateOnly))
		}
		if left := root.NotAfter.Sub(now); left < 30*24*time.Hour {
			return note("the root %s expires on %s", short(trust.Fingerprint(root)), root.NotAfter.Format(time.DateOnly))
		}
	}
	return ok("root %s, trust domain %s", fingerprints(a.roots, short), a.domain())
}

// shareRoot reports whether one certificate is in both.
func shareRoot(a, b trust.Bundle) bool {
	return slices.ContainsFunc(a.Roots(), func(root *x509.Certificate) bool { return b.Contains(trust.NewBundle(root)) })
}

func fingerprints(b trust.Bundle, form func(string) string) string {
	var all []string
	for _, root := range b.Roots() {
		all = append(all, fmt.Sprintf("%s (until %s)", form(trust.Fingerprint(root)), root.NotAfter.Format(time.DateOnly)))
	}
	return strings.Join(all, ", ")
}

// short is as much of a fingerprint as tells certificates apart.
func short(fingerprint string) string { return fingerprint[:min(len(fingerprint), 23)] }

func whole(fingerprint string) string { return fingerprint }

// oneLine makes a text fit into a row.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
