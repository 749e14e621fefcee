package check

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/isthmus-mesh/isthmus/internal/probe"
	"github.com/isthmus-mesh/isthmus/internal/trust"
)

// calls is how many requests a pair makes, each on its own connection.
const calls = 3

// call sends requests from one pod. It forgives failures for some seconds, since configuration may be on its way.
func call(ctx context.Context, c Cluster, namespace, pod, container, url string, count int) (probe.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	out, err := c.Exec(ctx, namespace, pod, container, probe.Binary, "probe", "call", url,
		"-n", strconv.Itoa(count), "--timeout=4s", "--patience=10s")
	if err != nil {
		return probe.Report{}, err
	}
	var report probe.Report
	if err := json.Unmarshal(out, &report); err != nil {
		return probe.Report{}, fmt.Errorf("read what the probe in pod %s/%s printed: %w", namespace, pod, err)
	}
	return report, nil
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

// judgeRequest says what became of the requests from the probe of one cluster to that of another.
func (j joining) judgeRequest(report probe.Report) Verdict {
	from, to := j.from, j.to
	if len(report.Calls) == 0 {
		return failed("try again", "the probe made no request in the time given")
	}
	for _, c := range report.Calls {
		switch {
		case c.Status != http.StatusOK:
			return j.explain(c)
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
func (j joining) explain(c probe.Call) Verdict {
	from, to := j.from, j.to
	text := strings.ToLower(c.Error + " " + c.Body)
	said := firstWords(c.Error + c.Body)
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	link := fmt.Sprintf("let the pods of %s reach those of %s and back: routes, firewalls and security groups between the nodes", from.name(), to.name())
	switch {
	case has("no such host"):
		return failed("see the row endpoints of this pair; "+from.kubectl("get service -n %s", ProbeNamespace),
			"the name of the probe is unknown in %s: %s", from.name(), said)
	case has("certificate_verify_failed", "certificate verify failed", "unknown_ca", "unknown ca"):
		return failed("see the row same root of this pair; after its repair restart the workloads",
			"other root: TLS between the sidecars failed: %s", said)
	case has("tls_error", "tls error"):
		return failed("see the row same root of this pair", "TLS between the sidecars failed: %s", said)
	case has("no healthy upstream"):
		return failed("see the rows discovery and endpoints of this pair", "%s has no endpoint of the probe in %s: %s", from.name(), to.name(), said)
	case has("connection refused"):
		return failed(to.kubectl("logs -n %s deploy/%s -c istio-proxy", ProbeNamespace, probeName(to.name())),
			"connection refused by the pod in %s: %s", to.name(), said)
	case has("connection_timeout", "connection timeout", "connect timeout", "no route to host", "network is unreachable", "deadline exceeded", "timeout", "connection failure"):
		return failed(link, "link cut: nothing comes back from the pod in %s: %s", to.name(), said)
	case c.Status == http.StatusNotFound:
		return failed(from.kubectl("logs -n %s -l app=istiod --tail=20", from.namespace), "the sidecar has no route to the probe: %s", said)
	case c.Status == http.StatusForbidden:
		return failed(to.kubectl("get authorizationpolicies -A"), "a policy of %s forbids the request: %s", to.name(), said)
	}
	return failed(from.kubectl("logs -n %s deploy/%s -c istio-proxy", ProbeNamespace, probeName(from.name())), "status %d: %s", c.Status, said)
}

// firstWords is the start of a text, on one line.
func firstWords(text string) string {
	line := oneLine(text)
	if len(line) > 220 {
		return line[:220] + "…"
	}
	return line
}
