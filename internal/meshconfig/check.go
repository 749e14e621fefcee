package meshconfig

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	meshv1 "istio.io/api/mesh/v1alpha1"
)

// check says what is wrong with a value that reads well but that Envoy would refuse, and with it all configuration; "" if it is good.
func check(config *meshv1.MeshConfig) string {
	if wrong := outside(config.GetConnectTimeout(), time.Millisecond); wrong != "" {
		return wrong
	}
	return outside(config.GetProtocolDetectionTimeout(), 0)
}

// outside says that a duration is none, or too short.
func outside(d *durationpb.Duration, least time.Duration) string {
	switch {
	case d == nil:
		return ""
	case d.CheckValid() != nil || d.AsDuration() < least:
		return fmt.Sprintf("%s is not possible, use %s or more", d.AsDuration(), least)
	default:
		return ""
	}
}
