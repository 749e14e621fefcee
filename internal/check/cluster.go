package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/isthmus-mesh/isthmus/internal/kube"
)

// Cluster is how checks reach one cluster. Its funcs may be called at the same time.
type Cluster struct {
	Context string // of the kubeconfig
	Core    kubernetes.Interface
	// Get reads http://POD:port/path.
	Get func(ctx context.Context, namespace, pod string, port int, path string) ([]byte, error)
	// Exec runs a command in a container and returns what it wrote to standard output. What it wrote to standard error is part
	// of the error.
	Exec func(ctx context.Context, namespace, pod, container string, command ...string) ([]byte, error)
	// Now is the time that the API server's answers carry; it is precise to a second.
	Now func(ctx context.Context) (time.Time, error)
}

// Contexts lists the contexts of a kubeconfig in their order by name; an empty path means client-go's usual files.
func Contexts(kubeconfig string) ([]string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := rules.Load()
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	return slices.Sorted(maps.Keys(config.Contexts)), nil
}

// Connect opens the cluster of a context. It sends no request.
func Connect(access kube.Access) (Cluster, error) {
	client, err := kube.NewClient(access)
	if err != nil {
		return Cluster{}, err
	}
	return Cluster{
		Context: access.Context, Core: client.Core, Get: client.GetFromPod,
		Exec: executor(client), Now: clockOf(client.Config),
	}, nil
}

func executor(client *kube.Client) func(ctx context.Context, namespace, pod, container string, command ...string) ([]byte, error) {
	return func(ctx context.Context, namespace, pod, container string, command ...string) ([]byte, error) {
		url := client.Core.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
			VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec).
			URL()
		shell, err := remotecommand.NewSPDYExecutor(client.Config, http.MethodPost, url)
		if err != nil {
			return nil, fmt.Errorf("run %s in pod %s/%s: %w", command[0], namespace, pod, err)
		}
		var out, problems bytes.Buffer
		err = shell.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &problems})
		if err != nil {
			return out.Bytes(), fmt.Errorf("run %s in pod %s/%s: %w: %s", command[0], namespace, pod, err, bytes.TrimSpace(problems.Bytes()))
		}
		return out.Bytes(), nil
	}
}

// clockOf reads the Date header of an API server.
func clockOf(config *rest.Config) func(context.Context) (time.Time, error) {
	return func(ctx context.Context) (time.Time, error) {
		client, err := rest.HTTPClientFor(config)
		if err != nil {
			return time.Time{}, err
		}
		address, _, err := rest.DefaultServerUrlFor(config)
		if err != nil {
			return time.Time{}, err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.JoinPath("version").String(), nil)
		if err != nil {
			return time.Time{}, err
		}
		response, err := client.Do(request)
		if err != nil {
			return time.Time{}, err
		}
		_ = response.Body.Close()
		date := response.Header.Get("Date")
		if date == "" {
			return time.Time{}, errors.New("the API server gives no date")
		}
		return http.ParseTime(date)
	}
}
