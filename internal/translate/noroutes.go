package translate

import (
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
)

// NoRoutes is the route configuration of a name that there is none of. Requests on it are answered with 404.
func NoRoutes(name string) *Resource {
	return newResource(name, &route.RouteConfiguration{Name: name}, nil)
}
