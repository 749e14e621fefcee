package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestHandlerSaysVersionAndInstance(t *testing.T) {
	t.Parallel()
	cases := []struct {
		path, want string
		status     int
	}{
		{"/hello", "Hello version: v1, instance: helloworld-v1-abc\n", http.StatusOK},
		{"/health", "Helloworld is healthy", http.StatusOK},
		{"/else", "404 page not found\n", http.StatusNotFound},
	}
	h := handler("v1", "helloworld-v1-abc")
	for _, c := range cases {
		recorder := httptest.NewRecorder()
		h.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, c.path, nil))
		if recorder.Code != c.status || recorder.Body.String() != c.want {
			t.Errorf("GET %s = %d %q, want %d %q", c.path, recorder.Code, recorder.Body, c.status, c.want)
		}
	}
}

func TestAServerThatIsToldToStopAnswersAndEndsItsConnections(t *testing.T) {
	t.Parallel()
	told, tell := context.WithCancel(t.Context())
	defer tell()
	server := httptest.NewServer(untilTold(told, handler("v1", "pod")))
	t.Cleanup(server.Close)
	for _, stopping := range []bool{false, true} {
		if stopping {
			tell()
		}
		response, err := server.Client().Get(server.URL + "/hello")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK || response.Close != stopping {
			t.Errorf("told to stop: %t, status %d, connection ends: %t", stopping, response.StatusCode, response.Close)
		}
	}
}
