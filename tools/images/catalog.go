package main

import (
	"context"
	"io/fs"

	"github.com/isthmus-mesh/isthmus/internal/images"
)

// recipe says how one image is made.
type recipe struct {
	name     string
	describe func(context.Context, *builder) (images.Image, error)
}

// recipes are all images of the project. The order is that of the output only.
var recipes = []recipe{
	{"proxy", proxy},
	{"istiod", istiod},
	{"examples-helloworld-v1", helloworld("v1")},
	{"examples-helloworld-v2", helloworld("v2")},
	{"examples-echo", echo},
	{"curl", curl},
}

// Users of the images. 1337 is the one whose traffic a sidecar's capture leaves alone, and the one that Istio's charts name.
const (
	meshUser   = "1337"
	sampleUser = "65532"
)

// base is what every image has besides its programs: names for its users, a folder for temporary files, and where to look
// names up. There is no shell in it.
var base = images.Layer{Name: "base", Files: []images.File{
	{Path: "/tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
	{Path: "/etc/passwd", Mode: 0o644, Content: []byte("root:x:0:0:root:/:/sbin/nologin\n" +
		"istio-proxy:x:1337:1337:mesh:/:/sbin/nologin\nsample:x:65532:65532:sample:/tmp:/sbin/nologin\n")},
	{Path: "/etc/group", Mode: 0o644, Content: []byte("root:x:0:\nistio-proxy:x:1337:\nsample:x:65532:\n")},
	{Path: "/etc/nsswitch.conf", Mode: 0o644, Content: []byte("passwd: files\ngroup: files\nhosts: files dns\n")},
}}

// proxy holds the agent and stock Envoy with the C library that it is linked to. Envoy changes once a quarter, the agent
// with every commit, so they are layers of their own.
func proxy(ctx context.Context, b *builder) (images.Image, error) {
	binary, err := b.envoyBinary(ctx)
	if err != nil {
		return images.Image{}, err
	}
	envoy, err := images.Program(ctx, binary, "/usr/local/bin/envoy")
	if err != nil {
		return images.Image{}, err
	}
	agent, err := b.compile(ctx, "./cmd/agent")
	if err != nil {
		return images.Image{}, err
	}
	return images.Image{
		Name: "proxy",
		Layers: []images.Layer{base, {Name: "envoy", Files: envoy}, {Name: "agent", Files: []images.File{
			{Path: "/usr/local/bin/agent", Mode: 0o755, Source: agent},
			{Path: "/usr/local/bin/pilot-agent", Link: "agent"}, // the name in people's `kubectl exec` lines
		}}},
		Entrypoint: []string{"/usr/local/bin/agent"},
		User:       meshUser,
		Labels:     b.labels("proxy", "Stock Envoy and the agent beside it: sidecar and gateways of the isthmus mesh"),
	}, nil
}

func istiod(ctx context.Context, b *builder) (images.Image, error) {
	binary, err := b.compile(ctx, "./cmd/istiod")
	if err != nil {
		return images.Image{}, err
	}
	return images.Image{
		Name: "istiod",
		Layers: []images.Layer{base, {Name: "istiod", Files: []images.File{
			{Path: "/usr/local/bin/istiod", Mode: 0o755, Source: binary},
		}}},
		Entrypoint: []string{"/usr/local/bin/istiod"},
		User:       meshUser,
		Labels:     b.labels("istiod", "The control plane of the isthmus mesh"),
	}, nil
}

// helloworld returns the recipe of one version of the sample. They differ by a variable only, so they share their layers.
func helloworld(serviceVersion string) func(context.Context, *builder) (images.Image, error) {
	return func(ctx context.Context, b *builder) (images.Image, error) {
		binary, err := b.compile(ctx, "./samples/helloworld/server")
		if err != nil {
			return images.Image{}, err
		}
		name := "examples-helloworld-" + serviceVersion
		return images.Image{
			Name: name,
			Layers: []images.Layer{base, {Name: "helloworld", Files: []images.File{
				{Path: "/usr/local/bin/helloworld", Mode: 0o755, Source: binary},
			}}},
			Entrypoint: []string{"/usr/local/bin/helloworld"},
			Env:        []string{"SERVICE_VERSION=" + serviceVersion},
			User:       sampleUser,
			Labels:     b.labels(name, "Sample service that says its version"),
		}, nil
	}
}

// echo is the sample that answers over every protocol, and the client for them.
func echo(ctx context.Context, b *builder) (images.Image, error) {
	binary, err := b.compile(ctx, "./samples/echo")
	if err != nil {
		return images.Image{}, err
	}
	return images.Image{
		Name: "examples-echo",
		Layers: []images.Layer{base, {Name: "echo", Files: []images.File{
			{Path: "/usr/local/bin/echo", Mode: 0o755, Source: binary},
		}}},
		Entrypoint: []string{"/usr/local/bin/echo"},
		User:       sampleUser,
		Labels:     b.labels("examples-echo", "Sample service that says who answered, over HTTP, gRPC and TCP, and its client"),
	}, nil
}

// applets are the commands that people type into a client pod.
var applets = []string{
	"cat", "date", "echo", "env", "false", "grep", "head", "hostname", "id", "kill", "ls", "nc", "nslookup", "ps", "seq", "sh",
	"sleep", "sort", "tail", "test", "timeout", "true", "uniq", "wc", "wget", "xargs",
}

// curl is the image of the client samples: this machine's curl with its libraries, BusyBox for a shell, and the load
// generator.
func curl(ctx context.Context, b *builder) (images.Image, error) {
	source, err := find("curl")
	if err != nil {
		return images.Image{}, err
	}
	curl, err := images.Program(ctx, source, "/usr/bin/curl")
	if err != nil {
		return images.Image{}, err
	}
	source, err = b.busybox(ctx)
	if err != nil {
		return images.Image{}, err
	}
	busybox, err := images.Program(ctx, source, "/bin/busybox")
	if err != nil {
		return images.Image{}, err
	}
	for _, applet := range applets {
		busybox = append(busybox, images.File{Path: "/bin/" + applet, Link: "busybox"})
	}
	load, err := b.compile(ctx, "./samples/load")
	if err != nil {
		return images.Image{}, err
	}
	return images.Image{
		Name: "curl",
		Layers: []images.Layer{
			base,
			{Name: "curl", Files: images.Merge(curl, busybox)},
			{Name: "load", Files: []images.File{{Path: "/usr/bin/load", Mode: 0o755, Source: load}}},
		},
		Entrypoint: []string{"/usr/bin/curl"},
		User:       sampleUser,
		Labels:     b.labels("curl", "Sample client: curl, a shell, and a load generator"),
	}, nil
}
