package model

import (
	"fmt"
	"io"
)

// Credential is what a Secret holds for servers of Gateways, as PEM. A part that is empty is not there, or cannot be used.
// The pointer stays the same as long as the content does.
type Credential struct {
	Certificates string // the server's own first, then those of its issuers
	Key          PrivateKey
	Roots        string // the authorities of clients
	CRL          string // certificates of clients that were called back
}

// PrivateKey is key material as PEM. However it is printed or encoded, it says only that it is one.
type PrivateKey string

// Redacted stands in place of key material wherever people read.
const Redacted = "[redacted]"

// Format implements fmt.Formatter.
func (PrivateKey) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, Redacted) // Formatter has no way to fail
}

// MarshalText implements encoding.TextMarshaler.
func (PrivateKey) MarshalText() ([]byte, error) { return []byte(Redacted), nil }
