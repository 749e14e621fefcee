// Command isthmus-lab is the lab: real Kubernetes clusters on one machine. `isthmus lab` runs it.
package main

import (
	"os"

	"github.com/isthmus-mesh/isthmus/lab/internal/cli"
)

func main() { os.Exit(cli.Main()) }
