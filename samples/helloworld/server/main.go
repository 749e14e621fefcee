// Command server is the helloworld sample: it says which version and which pod answered.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// linger is how long the server goes on after it has been told to stop: other proxies need a moment to hear that its
// address is gone, on a busy machine some seconds.
const linger = 8 * time.Second

func main() {
	version, ok := os.LookupEnv("SERVICE_VERSION")
	if !ok {
		version = "unknown"
	}
	told, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := &http.Server{
		Addr: ":5000", Handler: untilTold(told, handler(version, os.Getenv("HOSTNAME"))), ReadHeaderTimeout: 10 * time.Second,
	}
	stopped := make(chan error, 1)
	go func() {
		<-told.Done()
		<-time.After(linger)
		stopped <- server.Shutdown(context.Background())
	}()
	log.Printf("helloworld %s listens on %s", version, server.Addr)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	if err := <-stopped; err != nil {
		log.Fatal(err)
	}
}

// untilTold keeps connections open until the server is told to stop. From then on every answer is its connection's last.
func untilTold(told context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if told.Err() != nil {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
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
