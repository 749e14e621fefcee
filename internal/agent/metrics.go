package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// scraper answers Prometheus for the whole pod: the agent's metrics, Envoy's, and those of the application, one after the other.
// What cannot be had is left out; a scrape never fails for it.
type scraper struct {
	own     *prometheus.Registry
	targets []string // URLs: Envoy's first
	log     *slog.Logger
	scrapes prometheus.Counter
	misses  *prometheus.CounterVec
}

// appTargets is what the injector found in the pod's own annotations.
type appTargets struct {
	Scrape  string      `json:"scrape"`
	Path    string      `json:"path"`
	Port    string      `json:"port"`
	Targets []appTarget `json:"targets"`
}

type appTarget struct {
	Port string `json:"port"`
	Path string `json:"path"`
}

// reservedPorts are the proxy's: scraping them as the application's would count twice or never end.
var reservedPorts = []string{"15000", "15001", "15004", "15006", "15008", "15020", "15021", "15053", "15090"}

const (
	scrapeTimeout = 10 * time.Second
	textFormat    = "text/plain; version=0.0.4; charset=utf-8"
)

func newScraper(own *prometheus.Registry, envoyPort uint32, annotations string, log *slog.Logger) *scraper {
	s := &scraper{
		own: own, log: log,
		targets: []string{fmt.Sprintf("http://127.0.0.1:%d/stats/prometheus", envoyPort)},
		scrapes: prometheus.NewCounter(prometheus.CounterOpts{Name: "istio_agent_scrapes_total", Help: "Scrapes of this pod."}),
		misses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "istio_agent_scrape_failures_total", Help: "Scrapes that had to leave something out.",
		}, []string{"target"}),
	}
	own.MustRegister(s.scrapes, s.misses)
	s.targets = append(s.targets, appURLs(annotations, log)...)
	return s
}

func appURLs(annotations string, log *slog.Logger) []string {
	if annotations == "" {
		return nil
	}
	var app appTargets
	if err := json.Unmarshal([]byte(annotations), &app); err != nil {
		log.Error("the application's metrics are left out", "err", fmt.Errorf("read ISTIO_PROMETHEUS_ANNOTATIONS: %w", err))
		return nil
	}
	if app.Scrape == "false" {
		return nil
	}
	targets := app.Targets
	if len(targets) == 0 {
		targets = []appTarget{{Port: app.Port, Path: app.Path}}
	}
	var urls []string
	for _, t := range targets {
		if t.Port == "" {
			t.Port = "80"
		}
		if t.Path == "" {
			t.Path = "/metrics"
		}
		if slices.Contains(reservedPorts, t.Port) {
			log.Warn("not scraped as the application: the port is the proxy's", "port", t.Port)
			continue
		}
		urls = append(urls, fmt.Sprintf("http://localhost:%s/%s", t.Port, strings.TrimPrefix(t.Path, "/")))
	}
	return urls
}

func (s *scraper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.scrapes.Inc()
	var out bytes.Buffer
	for i, target := range s.targets {
		if i == 0 && r.URL.RawQuery != "" {
			target += "?" + r.URL.RawQuery
		}
		body, err := fetch(r.Context(), target)
		if err != nil {
			s.misses.WithLabelValues(s.targets[i]).Inc()
			s.log.Debug("left out of a scrape", "target", target, "err", err)
			continue
		}
		out.Write(body)
		if !bytes.HasSuffix(body, []byte("\n")) {
			out.WriteByte('\n')
		}
	}
	w.Header().Set("Content-Type", textFormat)
	s.writeOwn(w)
	_, _ = w.Write(out.Bytes()) // a client that left misses it
}

func (s *scraper) writeOwn(w io.Writer) {
	families, err := s.own.Gather()
	if err != nil {
		s.log.Warn("some of the agent's own metrics are left out", "err", err)
	}
	encoder := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, family := range families {
		if err := encoder.Encode(family); err != nil {
			return // the client left
		}
	}
}

func fetch(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	// Only this format can be joined: others have an end mark.
	req.Header.Set("Accept", textFormat)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", url, res.Status)
	}
	return io.ReadAll(res.Body)
}
