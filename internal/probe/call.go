package probe

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// Plan says what to call and how often.
type Plan struct {
	URL string
	// Count is how many requests are made, each on a connection of its own; one that fails ends the run.
	Count int
	// Timeout bounds one request.
	Timeout time.Duration
	// Patience is for how long a failed request is forgiven and the count starts anew: configuration may still be on its way
	// to the proxies. Zero forgives none.
	Patience time.Duration
}

// maxBody is how much of an answer is kept when it is not a probe's.
const maxBody = 600

// pause stands between a forgiven request and the next.
const pause = 250 * time.Millisecond

// Run makes the calls. A server that fails is no error but part of the report.
func (p Plan) Run(ctx context.Context) Report {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: p.Timeout}
	forgiving, cancel := context.WithTimeout(ctx, p.Patience)
	defer cancel()
	var report Report
	for len(report.Calls) < p.Count && ctx.Err() == nil {
		call := one(ctx, client, p.URL)
		report.Tries++
		if call.Status != http.StatusOK && forgiving.Err() == nil {
			report.Calls = nil
			select {
			case <-forgiving.Done():
			case <-time.After(pause):
			}
			continue
		}
		report.Calls = append(report.Calls, call)
		if call.Status != http.StatusOK {
			break // one is enough to tell, and more would take as long again
		}
	}
	return report
}

func one(ctx context.Context, client *http.Client, url string) (call Call) {
	began := time.Now()
	defer func() { call.Took = time.Since(began) }()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		call.Error = err.Error()
		return call
	}
	response, err := client.Do(request)
	if err != nil {
		call.Error = err.Error()
		return call
	}
	defer func() { _ = response.Body.Close() }()
	call.Status, call.Server = response.StatusCode, response.Header.Get("Server")
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		call.Error = err.Error()
		return call
	}
	var answer Answer
	if json.Unmarshal(body, &answer) == nil && answer.Cluster != "" {
		call.Answer = &answer
		return call
	}
	call.Body = string(body[:min(len(body), maxBody)])
	return call
}
