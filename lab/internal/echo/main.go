// Command echo is what the lab's own tests run in pods: a server that says who it is, a client, and an admission webhook that refuses.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	admission "k8s.io/api/admission/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run is one of: serve NAME · webhook CERT KEY · wait · get URL · dial ADDRESS.
func run(args []string) error {
	switch args[0] {
	case "serve":
		return http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, args[1])
		}))
	case "webhook":
		return http.ListenAndServeTLS(":8443", args[1], args[2], http.HandlerFunc(refuse))
	case "wait":
		ended := make(chan os.Signal, 1)
		signal.Notify(ended, syscall.SIGTERM)
		<-ended
		return nil
	case "get":
		client := http.Client{Timeout: 3 * time.Second}
		response, err := client.Get(args[1])
		if err != nil {
			return err
		}
		defer response.Body.Close()
		_, err = io.Copy(os.Stdout, response.Body)
		return err
	case "dial":
		conn, err := net.DialTimeout("tcp", args[1], 3*time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	default:
		return fmt.Errorf("no command %q", args[0])
	}
}

func refuse(w http.ResponseWriter, r *http.Request) {
	var review admission.AdmissionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
		http.Error(w, "no admission review", http.StatusBadRequest)
		return
	}
	review.Response = &admission.AdmissionResponse{
		UID: review.Request.UID, Allowed: false, Result: &meta.Status{Message: "refused by the test's webhook"},
	}
	if err := json.NewEncoder(w).Encode(review); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
