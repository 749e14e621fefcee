package dns

import (
	"context"
	"math/rand/v2"

	"github.com/miekg/dns"
)

// forward asks the pod's own servers, by the protocol that the client used, in random order until one answers. A client that
// gets a truncated answer by UDP comes back by TCP, and so does its question.
func (s *Server) forward(ctx context.Context, network string, q *dns.Msg) *dns.Msg {
	s.metrics.upstream.Inc()
	client := &dns.Client{Net: network, Timeout: upstreamTimeout, UDPSize: dns.MaxMsgSize - 1}
	for _, i := range rand.Perm(len(s.o.Upstreams)) {
		reply, _, err := client.ExchangeContext(ctx, q, s.o.Upstreams[i])
		if err == nil {
			return reply
		}
		s.o.Log.Debug("DNS server did not answer", "server", s.o.Upstreams[i], "name", questionName(q), "err", err)
	}
	s.metrics.failures.Inc()
	return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
}

func questionName(q *dns.Msg) string {
	if len(q.Question) == 0 {
		return ""
	}
	return q.Question[0].Name
}
