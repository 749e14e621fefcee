// Package version names this build. Everybody reads it; it never decides anything.
package version

// Version is the release, as images are tagged and as `isthmus version` prints it. The linker sets it for releases.
var Version = "0.1.0"

// Hub is the registry path that images of this build come from unless an installation names another.
var Hub = "ghcr.io/isthmus-mesh"
