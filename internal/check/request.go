package check

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/isthmus-mesh/isthmus/internal/probe"
	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// calls is how many requests a pair makes, each on its own connection.
const calls = 3

// How long the probe waits for one answer, and for how long it forgives failures, since configuration may be on its way.
const (
	answerTime = 4 * time.Second
	patience   = 10 * time.Second
)

// call sends requests from the probe in pod.
func call(ctx context.Context, c Cluster, pod, url string, count int, patience time.Duration) (probe.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	out, err := c.Exec(ctx, ProbeNamespace, pod, probeContainer, probe.Binary, "probe", "call", url,
		"-n", strconv.Itoa(count), "--timeout="+answerTime.String(), "--patience="+patience.String())
	if err != nil {
		return probe.Report{}, err
	}
	var report probe.Report
	if err := json.Unmarshal(out, &report); err != nil {
		return probe.Report{}, fmt.Errorf("read what the probe in pod %s/%s printed: %w", ProbeNamespace, pod, err)
	}
	return report, nil
}

// send calls the probe of to from that of from. When nothing comes of it, the pod's address is tried without mutual TLS, which
// tells trouble of the link from trouble of trust.
func (j joining) send(ctx context.Context, from, to placed) Verdict {
	report, err := call(ctx, j.from.cluster, from.pod, probeURL(j.to.name()), calls, patience)
	if err != nil {
		return failed(j.from.kubectl("get pods -n %s", ProbeNamespace), "%s", oneLine(err.Error()))
	}
	var direct *probe.Call
	if last := len(report.Calls) - 1; last >= 0 && report.Calls[last].Status != http.StatusOK && j.from.network == j.to.network {
		url := "http://" + net.JoinHostPort(to.ip, strconv.Itoa(probe.Port)) + "/"
		if plain, err := call(ctx, j.from.cluster, from.pod, url, 1, 0); err == nil && len(plain.Calls) == 1 {
			direct = &plain.Calls[0]
		}
	}
	return j.judgeRequest(report, direct)
}

// knows waits for some seconds until every istiod of from lists an endpoint of the probe of to.
func (j joining) knows(ctx context.Context) Verdict {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var v Verdict
	err := wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		v = Verdict{}
		known := 0
		for _, i := range j.from.istiods {
			if !i.running {
				continue
			}
			counts, err := endpointCounts(ctx, j.from.cluster, j.from.namespace, i.pod)
			if err != nil {
				v = skipped("istiod %s does not tell its endpoints: %s", i.pod, oneLine(err.Error()))
				return ctx.Err() == nil, nil
			}
			n := countIn(counts, probeName(j.to.name())+"."+ProbeNamespace+".", j.to.name())
			if n == 0 {
				v = failed("see the rows remote Secret and discovery of this pair",
					"istiod %s knows no endpoint of the probe in %s, though its pod is ready", i.pod, j.to.name())
				return false, nil
			}
			known = n
		}
		v = ok("%d endpoint of the probe known", known)
		return true, nil
	})
	if err != nil && v.State == "" {
		return skipped("istiod of %s did not answer in time", j.from.name())
	}
	return v
}

// countIn counts a cluster's endpoints of the services whose name begins so.
func countIn(counts []endpointCount, prefix, cluster string) int {
	n := 0
	for _, c := range counts {
		if strings.HasPrefix(c.Service, prefix) {
			n += c.Clusters[cluster]
		}
	}
	return n
}

// judgeRequest says what became of the requests from the probe of one cluster to that of another. Direct is a request to the pod's
// address; nil when none was tried.
func (j joining) judgeRequest(report probe.Report, direct *probe.Call) Verdict {
	from, to := j.from, j.to
	if len(report.Calls) == 0 {
		return failed("try again", "the probe made no request in the time given")
	}
	for _, c := range report.Calls {
		switch {
		case c.Status != http.StatusOK:
			return j.explain(c, direct)
		case c.Answer == nil:
			return failed(from.kubectl("get service -n %s -o wide", ProbeNamespace), "something else answered: %s", firstWords(c.Body))
		case c.Answer.Cluster != to.name():
			return failed(from.kubectl("get endpointslices -n %s", ProbeNamespace), "%s answered in place of %s", c.Answer.Cluster, to.name())
		}
		if v := j.judgeIdentity(c.Answer.ClientCertificate); v.State != OK {
			return v
		}
	}
	last := report.Calls[len(report.Calls)-1]
	return ok("%d of %d, mutual TLS as %s, %s", len(report.Calls), len(report.Calls), identityOf(from).Principal(), last.Took.Round(time.Millisecond))
}

// identityOf is the identity that the probe of a cluster has to have.
func identityOf(f *facts) trust.ID {
	domain, err := trust.ParseDomain(f.domain())
	if err != nil {
		return trust.ID{}
	}
	return trust.WorkloadID(domain, ProbeNamespace, probeName(f.name()))
}

// judgeIdentity reads whose certificate the server's sidecar saw.
func (j joining) judgeIdentity(header string) Verdict {
	want := identityOf(j.from).String()
	seen := probe.ParseCertificates(header)
	if len(seen) == 0 {
		return failed(j.to.kubectl("get pods -n %s -o yaml", ProbeNamespace)+" shows the label security.istio.io/tlsMode: istio on injected pods",
			"answered, but without mutual TLS: no client certificate reached the other sidecar")
	}
	last := seen[len(seen)-1]
	if last.URI != want {
		return failed("look for a proxy between the clusters that ends TLS", "the other sidecar saw identity %q, want %q", last.URI, want)
	}
	return ok("%s", want)
}

// explain tells the causes of a failed request apart by what Envoy or the client's system says.
// https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage#response-flags
func (j joining) explain(c probe.Call, direct *probe.Call) Verdict {
	from, to := j.from, j.to
	said := firstWords(c.Error + c.Body)
	logs := func(f *facts) string {
		return f.kubectl("logs -n %s deploy/%s -c istio-proxy", ProbeNamespace, probeName(f.name()))
	}
	switch {
	case says(c, "no such host"):
		return failed("see the row endpoints of this pair; "+from.kubectl("get service -n %s", ProbeNamespace),
			"the name of the probe is unknown in %s: %s", from.name(), said)
	case says(c, "no healthy upstream"):
		return failed("see the row gateway of "+to.name()+", when it is on another network, and the rows discovery and endpoints of this pair", "%s has no endpoint of the probe in %s: %s", from.name(), to.name(), said)
	case says(c, "connection refused") || direct != nil && says(*direct, "connection refused"):
		return failed(logs(to), "connection refused by the pod in %s: %s", to.name(), said)
	case says(c, "certificate_verify_failed", "certificate verify failed", "unknown_ca", "unknown ca", "tls_error", "tls error"),
		says(c, "connection failure") && (direct != nil && direct.Status != 0 && !unconnected(*direct) || direct == nil && !trusting(from, to)):
		return j.distrust(said)
	case from.network != to.network && says(c, "connection failure"):
		return failed(to.kubectl("apply -n %s -f samples/multicluster/expose-services.yaml", to.namespace),
			"the gateway of network %s ends the connection: it does not offer the services of %s: %s", to.network, to.name(), said)
	case from.network != to.network && unconnected(c):
		return failed(fmt.Sprintf("let the pods of %s reach the address in the row gateway of %s: routes and firewalls", from.name(), to.name()),
			"link cut: nothing comes back from the gateway of network %s: %s", to.network, said)
	case unconnected(c):
		return failed(fmt.Sprintf("let the pods of %s reach those of %s and back: routes, firewalls and security groups between the nodes", from.name(), to.name()),
			"link cut: nothing comes back from the pod in %s: %s", to.name(), said)
	case c.Status == http.StatusNotFound:
		return failed(from.kubectl("logs -n %s -l app=istiod --tail=20", from.namespace), "the sidecar has no route to the probe: %s", said)
	case c.Status == http.StatusForbidden:
		return failed(to.kubectl("get authorizationpolicies -A"), "a policy of %s forbids the request: %s", to.name(), said)
	}
	return failed(logs(from), "status %d: %s", c.Status, said)
}

// distrust is the verdict on sidecars that reach each other and do not agree on TLS.
func (j joining) distrust(said string) Verdict {
	if !trusting(j.from, j.to) {
		return failed("see the row same root of this pair; after its repair restart the workloads",
			"other root: TLS between the sidecars failed, since %s and %s have no root in common: %s", j.from.name(), j.to.name(), said)
	}
	return failed(fmt.Sprintf("see whether workloads still have certificates of an older root: %s; it helps to restart them",
		j.to.kubectl("get configmap -n %s istio-ca-root-cert -o yaml", j.to.namespace)),
		"TLS between the sidecars failed, though the pods reach each other: %s", said)
}

// trusting reports whether two clusters share a root, as far as that is known.
func trusting(a, b *facts) bool {
	return a.rootsErr != nil || b.rootsErr != nil || shareRoot(a.roots, b.roots)
}

// unconnected reports whether a call failed before anybody answered.
func unconnected(c probe.Call) bool {
	return says(c, "connection_timeout", "connection timeout", "connect timeout", "no route to host", "network is unreachable",
		"deadline exceeded", "timeout", "connection failure")
}

// says looks for one of some words in what came in place of an answer.
func says(c probe.Call, words ...string) bool {
	text := strings.ToLower(c.Error + " " + c.Body)
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
}

// firstWords is the start of a text, on one line.
func firstWords(text string) string {
	line := oneLine(text)
	if len(line) > 220 {
		return line[:220] + "…"
	}
	return line
}
