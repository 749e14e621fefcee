package main

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
)

// Answer is what every server of this program says, whatever it is asked over.
type Answer struct {
	Cluster  string            `json:"cluster"`
	Pod      string            `json:"pod"`
	Protocol string            `json:"protocol"` // HTTP/1.1, HTTP/2.0, gRPC or TCP
	Peer     string            `json:"peer"`     // who connected, as the server sees it
	Headers  map[string]string `json:"headers,omitempty"`
	Line     string            `json:"line,omitempty"` // what came over TCP
}

// answer starts an Answer with who is speaking.
func answer(protocol, peer string) Answer {
	return Answer{Cluster: os.Getenv("CLUSTER"), Pod: os.Getenv("HOSTNAME"), Protocol: protocol, Peer: peer}
}

// setHeaders keeps headers with their names in lower case and their values joined.
func (a *Answer) setHeaders(headers map[string][]string) {
	a.Headers = make(map[string]string, len(headers))
	for name, values := range headers {
		a.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
}

// text is the answer as one line of JSON, without its end.
func (a *Answer) text() string {
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // strings only
	}
	return string(b)
}

func answerHTTP(w http.ResponseWriter, r *http.Request) {
	a := answer(r.Proto, r.RemoteAddr)
	a.setHeaders(r.Header)
	a.Headers["host"] = r.Host
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(a.text() + "\n"))
}
