package sds

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	securityv1alpha1 "istio.io/api/security/v1alpha1"
)

// signTimeout bounds one request to the authority; the keeper tries again.
const signTimeout = 10 * time.Second

// SignOver asks Istio's certificate service. dial gives a connection that carries the pod's credentials; it is made anew
// for every request, since these are hours apart, so that new roots and addresses are seen.
func SignOver(dial func() (*grpc.ClientConn, error)) Sign {
	return func(ctx context.Context, csr []byte, lifetime time.Duration) ([]string, error) {
		ctx, cancel := context.WithTimeout(ctx, signTimeout)
		defer cancel()
		conn, err := dial()
		if err != nil {
			return nil, fmt.Errorf("reach the certificate authority: %w", err)
		}
		defer conn.Close()
		client := securityv1alpha1.NewIstioCertificateServiceClient(conn)
		res, err := client.CreateCertificate(ctx, &securityv1alpha1.IstioCertificateRequest{
			Csr: string(csr), ValidityDuration: int64(lifetime.Seconds()),
		})
		if err != nil {
			return nil, fmt.Errorf("ask the certificate authority at %s: %w", conn.Target(), err)
		}
		return res.GetCertChain(), nil
	}
}
