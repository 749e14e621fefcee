//go:build lab

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/internal/kube"
)

// freshness reports how long after a pod of the second cluster is Ready a proxy of the first one sends requests to it:
// through the second cluster's endpoint controller, the first one's control plane, and the stream. The time is a figure;
// that the endpoint comes, and goes when the pod goes, is the test.
func freshness(t *testing.T, l *lab) {
	access := func(cluster string) *kube.Client {
		c, err := kube.NewClient(kube.Access{Kubeconfig: filepath.Join(l.dir, "kubeconfig"), Context: cluster})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first, second := access("cluster1"), access("cluster2")
	client := strings.TrimSpace(l.kubectl(t, "cluster1", "get", "pods", "-n", "sample", "-l", "app=sleep",
		"--field-selector=status.phase=Running", "-o=jsonpath={.items[0].metadata.name}"))
	admin, stop, err := first.Forward(t.Context(), "sample", client, 15000)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	var took []time.Duration
	for range 5 {
		took = append(took, oneMore(t, l, second, admin))
	}
	slices.Sort(took)
	t.Logf("remote pod Ready -> local proxy has it: median %s of %v", took[len(took)/2], took)
}

// oneMore adds a replica, measures, and takes it away again.
func oneMore(t *testing.T, l *lab, second *kube.Client, admin string) time.Duration {
	t.Helper()
	ready := readyPods(t, second)
	l.kubectl(t, "cluster2", "scale", "-n", "sample", "deploy/helloworld-v2", "--replicas=2")
	var address string
	var since time.Time
	for address == "" {
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(2 * time.Minute):
			t.Fatal("no new pod is Ready after two minutes")
		case pod := <-ready:
			address, since = pod, time.Now()
		}
	}
	eventually(t, 30*time.Second, "the proxy has "+address, knows(admin, address, true))
	took := time.Since(since).Round(time.Millisecond)
	l.kubectl(t, "cluster2", "scale", "-n", "sample", "deploy/helloworld-v2", "--replicas=1")
	l.rollout(t, "cluster2", "deploy/helloworld-v2")
	eventually(t, 30*time.Second, "two endpoints are left", func() error {
		text, err := endpointsOf(admin)
		if n := strings.Count(text, "::health_flags::"); err != nil || n != 2 {
			return fmt.Errorf("%d endpoints: %w", n, err)
		}
		return nil
	})
	return took
}

// readyPods gives the addresses of helloworld pods of the second cluster as they become Ready from now on.
func readyPods(t *testing.T, second *kube.Client) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	pods := second.Core.CoreV1().Pods("sample")
	options := metav1.ListOptions{LabelSelector: "app=helloworld"}
	list, err := pods.List(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	old := map[string]bool{}
	for i := range list.Items {
		old[list.Items[i].Name] = true
	}
	options.ResourceVersion = list.ResourceVersion
	watch, err := pods.Watch(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watch.Stop)
	ready := make(chan string, 16)
	go func() {
		for event := range watch.ResultChan() {
			pod, ok := event.Object.(*corev1.Pod)
			if !ok || old[pod.Name] || pod.DeletionTimestamp != nil || !isReady(pod) {
				continue
			}
			old[pod.Name] = true
			ready <- pod.Status.PodIP
		}
	}()
	return ready
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// endpointsOf asks Envoy which endpoints of helloworld it has.
func endpointsOf(admin string) (string, error) {
	response, err := http.Get("http://" + admin + "/clusters?filter=" + "helloworld")
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	var lines []string
	for line := range strings.Lines(string(body)) {
		if strings.Contains(line, "helloworld.sample") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, ""), err
}

// knows is a check that asks Envoy as fast as it answers, for up to a second.
func knows(admin, address string, want bool) func() error {
	return func() error {
		for end := time.Now().Add(time.Second); time.Now().Before(end); {
			text, err := endpointsOf(admin)
			if err != nil {
				return err
			}
			if strings.Contains(text, "::"+address+":5000::") == want {
				return nil
			}
		}
		return fmt.Errorf("endpoint %s: want %t", address, want)
	}
}
