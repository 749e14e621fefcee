package main

import (
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
