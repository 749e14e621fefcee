// Command server is the helloworld sample: it says which version and which pod answered.
package main

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	version, ok := os.LookupEnv("SERVICE_VERSION")
	if !ok {
		version = "unknown"
	}
	server := &http.Server{Addr: ":5000", Handler: handler(version, os.Getenv("HOSTNAME")), ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-stopped
		server.Close()
	}()
	log.Printf("helloworld %s listens on %s", version, server.Addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

// handler answers as the sample of Istio does, so that its guides read the same.
func handler(version, instance string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "Hello version: %s, instance: %s\n", version, instance)
	})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "Helloworld is healthy")
	})
	return mux
}
