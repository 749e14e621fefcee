package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// clientCertificate is where a sidecar writes whose certificate it saw.
const clientCertificate = "X-Forwarded-Client-Cert"

// Handler answers every path with who it is and who called, and /ready with nothing.
func Handler(cluster, pod string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer := Answer{Cluster: cluster, Pod: pod, ClientCertificate: r.Header.Get(clientCertificate)}
		_ = json.NewEncoder(w).Encode(answer) // the caller has gone
	})
	return mux
}

// Serve answers on address until ctx ends.
func Serve(ctx context.Context, address string, handler http.Handler) error {
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve probe: %w", err)
	}
	return nil
}
