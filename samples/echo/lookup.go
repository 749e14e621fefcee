package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"slices"
)

// Found is what a lookup came to, as JSON.
type Found struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
	NotFound  bool     `json:"notFound"` // the servers say that there is no such name
	Error     string   `json:"error,omitempty"`
}

// lookup prints the addresses of names, one line each, as resolv.conf's servers and search domains give them.
func lookup(ctx context.Context, names []string) error {
	out := json.NewEncoder(os.Stdout)
	for _, name := range names {
		found := Found{Name: name}
		addresses, err := net.DefaultResolver.LookupHost(ctx, name)
		slices.Sort(addresses)
		found.Addresses = addresses
		if err != nil {
			found.Error = err.Error()
			var reason *net.DNSError
			found.NotFound = errors.As(err, &reason) && reason.IsNotFound
		}
		if err := out.Encode(found); err != nil {
			return err
		}
	}
	return nil
}
