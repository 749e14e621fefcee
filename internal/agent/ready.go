package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/isthmus-mesh/isthmus/internal/dns"
	"github.com/isthmus-mesh/isthmus/internal/sds"
)

// readiness says whether the pod may get traffic.
type readiness struct {
	adminPort uint32
	dns       *dns.Server // nil when DNS is not captured
	keeper    *sds.Keeper
	drainer   drainer

	configured atomic.Bool // Envoy was found complete once; an overloaded Envoy that answers late stays ready
}

func newReadiness(adminPort uint32, d *dns.Server, k *sds.Keeper) *readiness {
	return &readiness{adminPort: adminPort, dns: d, keeper: k}
}

// adminTimeout bounds a question to Envoy's admin interface.
const adminTimeout = 2 * time.Second

// check is nil when the pod is ready, else what is missing.
func (r *readiness) check(ctx context.Context) error {
	if r.drainer.draining() {
		return errors.New("the pod is draining")
	}
	if r.dns != nil {
		select {
		case <-r.dns.Ready():
		default:
			return errors.New("the name table has not arrived from the control plane")
		}
	}
	if r.configured.Load() {
		return nil
	}
	// One from before a restart of this container will do: the control plane may be away just now.
	if secret, _ := r.keeper.Current(); secret == nil {
		return errors.New("no certificate has come from the certificate authority")
	}
	stats, err := adminGet(ctx, r.adminPort, "/stats?filter=^(server.state|listener_manager.workers_started|"+
		"cluster_manager.cds.update_success|listener_manager.lds.update_success)$")
	if err != nil {
		return fmt.Errorf("ask Envoy: %w", err)
	}
	if err := configured(stats); err != nil {
		return err
	}
	r.configured.Store(true)
	return nil
}

// configured reads Envoy's statistics: each line is "name: value".
func configured(stats string) error {
	values := map[string]string{}
	for line := range strings.Lines(stats) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		values[name] = value
	}
	has := func(name string) bool { return values[name] != "" && values[name] != "0" }
	switch {
	case !has("cluster_manager.cds.update_success"):
		return errors.New("clusters have not arrived from the control plane")
	case !has("listener_manager.lds.update_success"):
		return errors.New("listeners have not arrived from the control plane")
	case values["server.state"] != "0":
		return fmt.Errorf("envoy is not live: server.state is %q", values["server.state"])
	case values["listener_manager.workers_started"] != "1":
		return errors.New("envoy's workers have not started")
	}
	return nil
}

func (r *readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if err := r.check(req.Context()); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func adminGet(ctx context.Context, port uint32, path string) (string, error) {
	return adminDo(ctx, http.MethodGet, port, path)
}

func adminPost(ctx context.Context, port uint32, path string) error {
	_, err := adminDo(ctx, http.MethodPost, port, path)
	return err
}

func adminDo(ctx context.Context, method string, port uint32, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s %s: %s", method, path, res.Status)
	}
	return string(body), nil
}
