package sidecar

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// resource is one resource of a response. Its bytes are those of the response.
type resource struct {
	name, version []byte
	body          []byte // the message inside
}

// response is what both protocols have in common. Its bytes are those of the message.
type response struct {
	typeURL, nonce, version []byte
	resources               []resource
	removed                 [][]byte
}

// fields calls take for each field of a message that has a length: texts, bytes and messages. Others are passed over.
func fields(message []byte, take func(number protowire.Number, value []byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return fmt.Errorf("read a field: %w", protowire.ParseError(n))
		}
		message = message[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
				return fmt.Errorf("read field %d: %w", number, protowire.ParseError(n))
			}
			message = message[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(message)
		if n < 0 {
			return fmt.Errorf("read field %d: %w", number, protowire.ParseError(n))
		}
		message = message[n:]
		if err := take(number, value); err != nil {
			return err
		}
	}
	return nil
}

// field finds the last field of a number; nil when it is not there.
func field(message []byte, want protowire.Number) (found []byte, err error) {
	err = fields(message, func(number protowire.Number, value []byte) error {
		if number == want {
			found = value
		}
		return nil
	})
	return found, err
}

// readDelta reads a DeltaDiscoveryResponse.
func readDelta(message []byte) (r response, err error) {
	err = fields(message, func(number protowire.Number, value []byte) error {
		switch number {
		case 2:
			res, err := readResource(value)
			r.resources = append(r.resources, res)
			return err
		case 4:
			r.typeURL = value
		case 5:
			r.nonce = value
		case 6:
			r.removed = append(r.removed, value)
		}
		return nil
	})
	return r, err
}

// readResource reads a Resource of the delta protocol.
func readResource(message []byte) (res resource, err error) {
	err = fields(message, func(number protowire.Number, value []byte) (err error) {
		switch number {
		case 1:
			res.version = value
		case 2:
			res.body, err = field(value, anyValue)
		case 3:
			res.name = value
		}
		return err
	})
	return res, err
}

// Fields of google.protobuf.Any, and the name of clusters, assignments, listeners and route tables: all have it first.
const (
	anyValue     = 2
	resourceName = 1
)

// readWorld reads a DiscoveryResponse.
func readWorld(message []byte) (r response, err error) {
	err = fields(message, func(number protowire.Number, value []byte) (err error) {
		switch number {
		case 1:
			r.version = value
		case 2:
			var res resource
			if res.body, err = field(value, anyValue); err == nil {
				res.name, err = field(res.body, resourceName)
			}
			r.resources = append(r.resources, res)
		case 4:
			r.typeURL = value
		case 5:
			r.nonce = value
		}
		return err
	})
	return r, err
}

// endpointsOf gives the name under which a cluster's endpoints are asked for; empty when they are not discovered.
func endpointsOf(cluster []byte) (string, error) {
	var name, service []byte
	discovered := false
	err := fields(cluster, func(number protowire.Number, value []byte) (err error) {
		switch number {
		case resourceName:
			name = value
		case 3: // eds_cluster_config
			discovered = true
			service, err = field(value, 2)
		}
		return err
	})
	switch {
	case err != nil || !discovered:
		return "", err
	case len(service) > 0:
		return string(service), nil
	default:
		return string(name), nil
	}
}

// routesOf gives the names of the route tables that a listener asks for.
func routesOf(listener []byte) (names []string, err error) {
	err = fields(listener, func(number protowire.Number, value []byte) error {
		if number != 3 && number != 25 { // filter_chains, default_filter_chain
			return nil
		}
		return fields(value, func(number protowire.Number, filter []byte) error {
			if number != 3 { // filters
				return nil
			}
			name, err := routeOf(filter)
			if name != "" {
				names = append(names, name)
			}
			return err
		})
	})
	return names, err
}

// routeOf gives the route table that a filter asks for, if it is an HTTP connection manager with one.
func routeOf(filter []byte) (string, error) {
	const manager = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
	packed, err := field(filter, 4) // typed_config
	if err != nil {
		return "", err
	}
	typeURL, err := field(packed, 1)
	if err != nil || string(typeURL) != manager {
		return "", err
	}
	settings, err := field(packed, anyValue)
	if err != nil {
		return "", err
	}
	rds, err := field(settings, 3)
	if err != nil {
		return "", err
	}
	name, err := field(rds, 2) // route_config_name
	return string(name), err
}
