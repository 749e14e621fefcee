package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/isthmus-mesh/isthmus/api/label"
)

// Ports of istiod.
const (
	monitoringPort = 15014
	readyPort      = 8080
)

// istiod is one pod of a control plane.
type istiod struct {
	pod      string
	revision string
	running  bool
}

// istiods lists the pods of the control plane in namespace; revision may be empty for all.
func istiods(ctx context.Context, c Cluster, namespace, revision string) ([]istiod, error) {
	selector := "app=istiod"
	if revision != "" {
		selector += "," + label.Revision + "=" + revision
	}
	pods, err := c.Core.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, fmt.Errorf("list istiod pods in %s: %w", namespace, err)
	}
	var all []istiod
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil {
			all = append(all, istiod{
				pod: pod.Name, revision: pod.Labels[label.Revision], running: pod.Status.Phase == corev1.PodRunning,
			})
		}
	}
	slices.SortFunc(all, func(a, b istiod) int { return strings.Compare(a.pod, b.pod) })
	return all, nil
}

// PeerState is how one istiod sees one cluster, as /debug/clusterz has it. Istio's own istiod gives the first three fields.
type PeerState struct {
	Cluster    string     `json:"id"`
	Secret     string     `json:"secretName"` // namespace/name; empty for the own cluster
	Status     string     `json:"syncStatus"` // synced, syncing, timeout or closed
	State      string     `json:"state,omitempty"`
	Since      time.Time  `json:"since,omitzero"`
	StaleSince *time.Time `json:"staleSince,omitempty"`
	Reason     string     `json:"reason,omitempty"`
	LastEvent  *time.Time `json:"lastEvent,omitempty"`
}

// peers asks an istiod for the clusters that it knows.
func peers(ctx context.Context, c Cluster, namespace, pod string) ([]PeerState, error) {
	return ask[[]PeerState](ctx, c, namespace, pod, "/debug/clusterz")
}

// endpointCount is how many endpoints a port of a service has in each cluster, as /debug/endpointz has it.
type endpointCount struct {
	Service  string         `json:"service"`
	Port     int            `json:"port"`
	Clusters map[string]int `json:"clusters"`
}

func endpointCounts(ctx context.Context, c Cluster, namespace, pod string) ([]endpointCount, error) {
	return ask[[]endpointCount](ctx, c, namespace, pod, "/debug/endpointz")
}

// ask reads JSON from an istiod.
func ask[T any](ctx context.Context, c Cluster, namespace, pod, path string) (T, error) {
	var answer T
	body, err := c.Get(ctx, namespace, pod, monitoringPort, path)
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return answer, fmt.Errorf("read %s of %s: %w", path, pod, err)
	}
	return answer, nil
}

// ErrNoIstiod says that a cluster runs no control plane.
var ErrNoIstiod = errors.New("no running istiod pods")

// eachIstiod calls do for every running istiod pod, and joins the errors.
func eachIstiod(ctx context.Context, c Cluster, namespace, revision string, do func(istiod) error) error {
	pods, err := istiods(ctx, c, namespace, revision)
	if err != nil {
		return err
	}
	var errs []error
	asked := false
	for _, pod := range pods {
		if !pod.running {
			continue
		}
		asked = true
		errs = append(errs, do(pod))
	}
	if !asked {
		return fmt.Errorf("%w in namespace %q", ErrNoIstiod, namespace)
	}
	return errors.Join(errs...)
}
