package main

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// echoMethod has no .proto file of its own: it takes google.protobuf.Empty and gives the answer as google.protobuf.StringValue.
const echoMethod = "/isthmus.samples.Echo/Echo"

var echoService = grpc.ServiceDesc{
	ServiceName: "isthmus.samples.Echo",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Echo", Handler: answerGRPC}},
}

// answerGRPC has the arguments that gRPC calls it with.
//
//nolint:revive // the order is gRPC's
func answerGRPC(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	if err := decode(new(emptypb.Empty)); err != nil {
		return nil, err
	}
	from := ""
	if p, ok := peer.FromContext(ctx); ok {
		from = p.Addr.String()
	}
	a := answer("gRPC", from)
	headers, _ := metadata.FromIncomingContext(ctx)
	a.setHeaders(headers)
	return wrapperspb.String(a.text()), nil
}

// callGRPC asks once over a connection.
func callGRPC(ctx context.Context, conn *grpc.ClientConn) (string, error) {
	reply := new(wrapperspb.StringValue)
	if err := conn.Invoke(ctx, echoMethod, new(emptypb.Empty), reply); err != nil {
		return "", err
	}
	return reply.GetValue(), nil
}
