package envoytest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ListenerAddress is where a listener is bound, for listeners that leave the port to the kernel.
func (e *Envoy) ListenerAddress(t testing.TB, name string) string {
	t.Helper()
	var dump struct {
		Statuses []struct {
			Name    string `json:"name"`
			Address struct {
				Socket struct {
					Address string `json:"address"`
					Port    int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.Unmarshal([]byte(e.Get(t, "/listeners?format=json")), &dump); err != nil {
		t.Fatal(err)
	}
	for _, l := range dump.Statuses {
		if l.Name == name {
			return net.JoinHostPort(l.Address.Socket.Address, strconv.Itoa(l.Address.Socket.Port))
		}
	}
	t.Fatalf("Envoy has no listener %s, but %+v", name, dump.Statuses)
	return ""
}

// Request sends a GET request and returns the status code, whatever it is.
func Request(t testing.TB, url string) int {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// Contains is an error unless text holds part.
func Contains(text, part string) error {
	if strings.Contains(text, part) {
		return nil
	}
	return fmt.Errorf("%q not found in:\n%s", part, text)
}
