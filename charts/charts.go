// Package charts holds the Helm charts base, istiod and gateway and the profiles, embedded. They are the one source of
// manifests: `isthmus install` and plain `helm install` render the same files. The package only holds bytes, it renders nothing.
package charts

import "embed"

// CRDFile is where the base chart keeps the custom resource definitions of Istio's API. The file comes out of the
// istio.io/api module when the project is built (`go generate ./charts`), it is not in version control.
const CRDFile = "base/files/crd-all.gen.yaml"

//go:generate go run ./gen

// FS has one folder a chart (base, istiod, gateway) and the folder profiles.
//
//go:embed all:base all:istiod all:gateway profiles
var FS embed.FS
