// Package probe is the small client and server that `isthmus verify` puts into pods to send requests through real sidecars. It
// runs from the agent's binary as `agent probe`, since every cluster of the mesh has that image. It judges nothing: internal/check
// does.
package probe

import "time"

// Path of the agent in the proxy's image, and the port on which a probe serves.
const (
	Binary = "/usr/local/bin/agent"
	Port   = 8080
)

// Answer is what a probe says of itself and of the caller that its sidecar saw.
type Answer struct {
	Cluster string `json:"cluster"`
	Pod     string `json:"pod"`
	// ClientCertificate is the header X-Forwarded-Client-Cert as it arrived; empty when the request came in plain text.
	ClientCertificate string `json:"clientCertificate"`
}

// Call is one request and what became of it.
type Call struct {
	Status int     `json:"status,omitempty"` // 0 when no answer came
	Answer *Answer `json:"answer,omitempty"` // of another probe; nil when something else answered
	Body   string  `json:"body,omitempty"`   // the start of what something else answered
	// Server is the header of that name: envoy when the proxy answered in place of the application.
	Server string        `json:"server,omitempty"`
	Error  string        `json:"error,omitempty"` // why no answer came
	Took   time.Duration `json:"took"`            // nanoseconds
}

// Report is what a probe that called prints.
type Report struct {
	// Tries counts all requests, also those before the ones that are listed.
	Tries int    `json:"tries"`
	Calls []Call `json:"calls"` // the last ones, in their order
}
