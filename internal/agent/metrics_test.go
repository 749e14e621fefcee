package agent

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

var silent = slog.New(slog.DiscardHandler)

func TestWhatIsScrapedOfTheApplication(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, annotations string
		want              []string
	}{
		{"nothing said", "", nil},
		{"defaults", `{"scrape":"true","path":"","port":""}`, []string{"http://localhost:80/metrics"}},
		{"port and path", `{"scrape":"","path":"/m?a=b","port":"9090"}`, []string{"http://localhost:9090/m?a=b"}},
		{"not wanted", `{"scrape":"false","path":"","port":""}`, nil},
		{"several", `{"targets":[{"port":"81","path":"/a"},{"port":"82"}]}`, []string{"http://localhost:81/a", "http://localhost:82/metrics"}},
		{"the proxy's own port", `{"port":"15020"}`, nil},
		{"broken", `{`, nil},
	}
	for _, c := range cases {
		if diff := cmp.Diff(c.want, appURLs(c.annotations, silent)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestScrapeJoinsAllAndNeverFails(t *testing.T) {
	t.Parallel()
	envoy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "# TYPE envoy_query gauge\nenvoy_query{q=%q} 1\n", r.URL.RawQuery)
	}))
	t.Cleanup(envoy.Close)
	gone := freePorts(t, 1)[0]
	s := newScraper(prometheus.NewRegistry(), uint32(listenerPort(envoy.Listener)), fmt.Sprintf(`{"port":"%d"}`, gone), silent)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	for scrape := 1; scrape <= 2; scrape++ {
		res, err := http.Get(server.URL + "/stats/prometheus?usedonly")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("status %s, error %v", res.Status, err)
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(string(body)))
		if err != nil {
			t.Fatalf("not Prometheus text: %v\n%s", err, body)
		}
		if families["envoy_query"].GetMetric()[0].GetLabel()[0].GetValue() != "usedonly" {
			t.Errorf("Envoy's metrics were asked for without the query:\n%s", body)
		}
		if got := families["istio_agent_scrapes_total"].GetMetric()[0].GetCounter().GetValue(); got != float64(scrape) {
			t.Errorf("%v scrapes counted, want %d", got, scrape)
		}
		if scrape == 2 && families["istio_agent_scrape_failures_total"].GetMetric()[0].GetCounter().GetValue() < 1 {
			t.Errorf("the application that is gone is not counted:\n%s", body)
		}
	}
}
