package probe

import "strings"

// Certificate is one element of X-Forwarded-Client-Cert: what one proxy on the way saw.
// https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert
type Certificate struct {
	By  string // identity of the proxy that took the connection
	URI string // identity of the client
}

// ParseCertificates reads the header, from the first proxy to the last. What cannot be read is left out; values may be quoted
// and then hold separators and escaped quotes.
func ParseCertificates(header string) []Certificate {
	var all []Certificate
	for _, element := range split(header, ',') {
		var c Certificate
		for _, pair := range split(element, ';') {
			key, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			switch strings.ToLower(key) {
			case "by":
				c.By = unquote(value)
			case "uri":
				c.URI = unquote(value)
			}
		}
		if c != (Certificate{}) {
			all = append(all, c)
		}
	}
	return all
}

// split cuts at separators that stand outside of quotes.
func split(text string, separator byte) []string {
	var parts []string
	start, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		case separator:
			if !quoted {
				parts = append(parts, text[start:i])
				start = i + 1
			}
		}
	}
	return append(parts, text[start:])
}

func unquote(value string) string {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return value
	}
	return strings.ReplaceAll(value[1:len(value)-1], `\"`, `"`)
}
