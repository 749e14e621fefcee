// Command agent runs in the pod: as init container it captures the pod's connections, beside Envoy it gives it configuration,
// certificates and names. Pod templates written for Istio call it pilot-agent.
package main

import (
	"fmt"
	"os"

	"github.com/isthmus-mesh/isthmus/internal/agent/command"
)

func main() {
	if err := command.New().Execute(); err != nil {
		fmt.Fprintf(os.Stderr, "Error: %v\n", err)
		os.Exit(1)
	}
}
