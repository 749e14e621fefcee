package check

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Sample names a service whose versions have to answer from every cluster, as samples/helloworld does.
type Sample struct {
	Namespace string
	Service   string
	Port      int
}

// URL is what clients of the sample call.
func (s Sample) URL() string {
	return fmt.Sprintf("http://%s.%s:%d/hello", s.Service, s.Namespace, s.Port)
}

// sampleFacts are the sample's pods in one cluster.
type sampleFacts struct {
	service   bool
	pods      []corev1.Pod // behind the service
	callers   []corev1.Pod // of the samples sleep and curl, ready
	forgotten []string     // pods of the sample without a sidecar
	err       error
}

// readSample finds the sample in a cluster. The selector is that of the service where it is, which may be another cluster.
func readSample(ctx context.Context, c Cluster, s Sample, selector map[string]string) sampleFacts {
	var f sampleFacts
	services, err := c.Core.CoreV1().Services(s.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		f.err = err
		return f
	}
	f.service = slices.ContainsFunc(services.Items, func(service corev1.Service) bool { return service.Name == s.Service })
	pods, err := c.Core.CoreV1().Pods(s.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		f.err = err
		return f
	}
	for _, pod := range pods.Items {
		behind := labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels))
		caller := pod.Labels["app"] == "sleep" || pod.Labels["app"] == "curl"
		if pod.DeletionTimestamp != nil || !behind && !caller {
			continue
		}
		if !injected(&pod) {
			f.forgotten = append(f.forgotten, pod.Name)
		}
		if behind {
			f.pods = append(f.pods, pod)
		} else if podReady(&pod) {
			f.callers = append(f.callers, pod)
		}
	}
	return f
}

// selectorOf finds the sample's service in any cluster; nil when none has it.
func selectorOf(ctx context.Context, all []*facts, s Sample) map[string]string {
	for _, f := range all {
		service, err := f.cluster.Core.CoreV1().Services(s.Namespace).Get(ctx, s.Service, metav1.GetOptions{})
		if err == nil && len(service.Spec.Selector) > 0 {
			return service.Spec.Selector
		}
	}
	return nil
}

// versionsOf are the versions that run, each with the clusters that have it.
func versionsOf(samples map[*facts]sampleFacts) map[string][]string {
	versions := map[string][]string{}
	for f, s := range samples {
		for i := range s.pods {
			version := s.pods[i].Labels["version"]
			if version != "" && podReady(&s.pods[i]) && !slices.Contains(versions[version], f.name()) {
				versions[version] = append(versions[version], f.name())
			}
		}
	}
	return versions
}

// sampleChecks makes a check for each cluster, or one skipped row when no cluster has the sample.
func sampleChecks(ctx context.Context, all []*facts, probes map[*facts]placed, s Sample) []Check {
	selector := selectorOf(ctx, all, s)
	if selector == nil {
		return []Check{{Name: sample, From: "all", Run: func(context.Context) Verdict {
			return skipped("no cluster has the service %s in namespace %s", s.Service, s.Namespace)
		}}}
	}
	samples := map[*facts]sampleFacts{}
	for _, f := range all {
		samples[f] = readSample(ctx, f.cluster, s, selector)
	}
	versions := versionsOf(samples)
	var checks []Check
	for _, f := range all {
		checks = append(checks, Check{Name: sample, From: f.name(), Run: func(ctx context.Context) Verdict {
			own := samples[f]
			if v, final := judgeSamplePods(f, own, s); final {
				return v
			}
			seen, said, err := callSample(ctx, f, own, probes[f].pod, s, len(versions))
			if err != nil {
				return failed(f.kubectl("get pods -n %s", s.Namespace), "%s", oneLine(err.Error()))
			}
			return judgeSample(versions, seen, said)
		}})
	}
	return checks
}

// judgeSamplePods looks at the sample's pods in a cluster; final means that calling makes no sense.
func judgeSamplePods(f *facts, s sampleFacts, which Sample) (v Verdict, final bool) {
	if s.err != nil {
		return failed(f.kubectl("auth whoami"), "%s", oneLine(s.err.Error())), true
	}
	if len(s.forgotten) > 0 {
		return failed(f.kubectl("label namespace %s %s --overwrite", which.Namespace, injectionLabel(f))+"; "+
			f.kubectl("rollout restart deployment -n %s", which.Namespace),
			"pod not injected: %s has no sidecar", strings.Join(s.forgotten, ", ")), true
	}
	return Verdict{}, false
}

// injectionLabel is what a namespace carries for the control plane's revision.
func injectionLabel(f *facts) string {
	for key, value := range namespaceOf(f).Labels {
		if key != managedBy {
			return key + "=" + value
		}
	}
	return ""
}

var helloVersion = regexp.MustCompile(`Hello version: ([^,\s]+)`)

// How often the sample is called at most.
const (
	sampleRounds = 4
	sampleCalls  = 10 // a round
	sampleTime   = 25 * time.Second
)

// callSample calls until as many versions as there are have answered. It counts the answers of each; said is the last output that
// was none of them.
func callSample(ctx context.Context, f *facts, own sampleFacts, probePod string, s Sample, want int) (seen map[string]int, said string, err error) {
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	seen = map[string]int{}
	if len(own.callers) == 0 && probePod == "" {
		return nil, "", fmt.Errorf("no ready pod to call from: neither sleep nor curl runs in namespace %s, nor is there a probe", s.Namespace)
	}
	for range sampleRounds {
		if ctx.Err() != nil {
			break
		}
		text, err := sampleRound(ctx, f, own, probePod, s)
		if err != nil {
			text += " " + err.Error()
		}
		found := helloVersion.FindAllStringSubmatch(text, -1)
		for _, match := range found {
			seen[match[1]]++
		}
		if len(found) < sampleCalls {
			said = leftover(text)
		}
		if len(seen) >= want {
			break
		}
	}
	return seen, said, nil
}

// sampleRound calls from the sample's client, or from the probe where there is none.
func sampleRound(ctx context.Context, f *facts, own sampleFacts, probePod string, s Sample) (string, error) {
	if len(own.callers) == 0 {
		report, err := call(ctx, f.cluster, probePod, s.URL(), sampleCalls, patience)
		var text strings.Builder
		for _, c := range report.Calls {
			text.WriteString(c.Body + c.Error + "\n")
		}
		return text.String(), err
	}
	pod := own.callers[0]
	command := append([]string{"curl", "-sS", "--max-time", "4", "--fail-early"}, slices.Repeat([]string{s.URL()}, sampleCalls)...)
	out, err := f.cluster.Exec(ctx, pod.Namespace, pod.Name, pod.Labels["app"], command...)
	return string(out), err
}

// leftover is the first line of an output that no version wrote.
func leftover(text string) string {
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) != "" && !helloVersion.MatchString(line) {
			return firstWords(line)
		}
	}
	return ""
}

// judgeSample says whether every version that runs has answered.
func judgeSample(running map[string][]string, seen map[string]int, said string) Verdict {
	var parts, missing []string
	total := 0
	for _, version := range slices.Sorted(maps.Keys(seen)) {
		parts = append(parts, fmt.Sprintf("%s %d times", version, seen[version]))
		total += seen[version]
	}
	for _, version := range slices.Sorted(maps.Keys(running)) {
		if seen[version] == 0 {
			missing = append(missing, fmt.Sprintf("%s of %s", version, strings.Join(slices.Sorted(slices.Values(running[version])), ", ")))
		}
	}
	if said != "" {
		said = "; other answers: " + said
	}
	fix := "see the rows of the pairs; when they are ok, a DestinationRule with outlier detection may keep requests in their locality"
	switch {
	case total == 0:
		return failed(fix, "nothing of the sample answers%s", said)
	case len(missing) > 0:
		return failed(fix, "%s never answers, only %s%s", strings.Join(missing, " and "), strings.Join(parts, ", "), said)
	case said != "":
		return note("answered: %s%s", strings.Join(parts, ", "), said)
	}
	return ok("answered: %s", strings.Join(parts, ", "))
}
