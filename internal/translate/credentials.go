package translate

import (
	"google.golang.org/protobuf/proto"

	"github.com/isthmus-mesh/isthmus/internal/envoy"
	"github.com/isthmus-mesh/isthmus/internal/model"
	"github.com/isthmus-mesh/isthmus/internal/view"
)

// credentials are the certificates of a gateway's servers, and the authorities of their clients.
func credentials(prev *Set, s *model.Snapshot, c view.Class) *Set {
	b := newSetBuilder(prev)
	b.shard("", nil, func(sb *shardBuilder) {
		for _, cred := range view.CredentialsOf(s, c) {
			sb.add(cred.Name, cred.Credential, func() proto.Message {
				if cred.OfClients {
					return envoy.ClientRoots(cred.Name, cred.Roots, cred.CRL)
				}
				return envoy.ServerCertificate(cred.Name, cred.Certificates, string(cred.Key))
			})
		}
	})
	return b.done()
}
