// Package binaries carries the sources of the small Go modules that pin and build what a lab runs. The build in internal/binaries reads
// them, so that the lab's command works without a checkout. The modules beside this file are the truth; the archive is their copy.
package binaries

import _ "embed"

// Archive holds the files of the modules as a txtar, each named MODULE/FILE. `go test ./binaries -update` writes it.
//
//go:embed recipes.txtar
var Archive []byte
