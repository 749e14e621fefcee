package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

func TestRunCountsAnswersAndFailures(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch n.Add(1) % 3 {
		case 0:
			http.Error(w, "no", http.StatusServiceUnavailable)
		case 1:
			fmt.Fprint(w, "Hello version: v1, instance: a\n")
		default:
			fmt.Fprint(w, "Hello version: v2, instance: b\n")
		}
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	r := run(ctx, server.URL, 100, time.Second)
	if r.Requests < 6 || r.Failed == 0 || r.Versions["v1"] == 0 || r.Versions["v2"] == 0 {
		t.Errorf("report = %+v", r)
	}
	if got := r.Failed + r.Versions["v1"] + r.Versions["v2"]; got != r.Requests {
		t.Errorf("%d answers for %d requests", got, r.Requests)
	}
	if r.Errors["503 Service Unavailable: no"] != r.Failed {
		t.Errorf("errors = %v, failed %d", r.Errors, r.Failed)
	}
}
