package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/check"
)

func sampleReport() check.Report {
	return check.Report{
		Clusters: []check.Member{{Context: "kind-a", Cluster: "cluster1"}, {Context: "kind-b", Cluster: "cluster2"}},
		LeftOut:  []check.LeftOut{{Context: "home", Reason: "no istiod in namespace istio-system"}},
		Checks: []check.Result{
			{Check: "control plane", From: "cluster1", Verdict: check.Verdict{State: check.OK, Reason: "1 of 1 ready"}},
			{Check: "gateway", From: "cluster2", Verdict: check.Verdict{State: check.Note, Reason: "names network2"}},
			{
				Check: "remote Secret", From: "cluster1", To: "cluster2",
				Verdict: check.Verdict{State: check.Failed, Reason: "no remote Secret", Fix: "istioctl create-remote-secret …"},
			},
			{Check: "mTLS request", From: "cluster1", To: "cluster2", Verdict: check.Verdict{State: check.Skipped, Reason: "no probe"}, Took: 1500 * time.Millisecond},
		},
	}
}

func TestVerifyTableSaysWhatToDo(t *testing.T) {
	t.Parallel()
	want := `RESULT  CHECK          FROM      TO        TOOK  WHAT
✔ ok    control plane  cluster1  -         -     1 of 1 ready
! note  gateway        cluster2  -         -     names network2
✘ FAIL  remote Secret  cluster1  cluster2  -     no remote Secret
         fix: istioctl create-remote-secret …
- skip  mTLS request   cluster1  cluster2  1.5s  no probe

Context home was left out: no istiod in namespace istio-system.
✘ 1 of 4 checks failed in 2 clusters, 1 note, 1 skipped.
`
	if diff := cmp.Diff(want, reportText(sampleReport())); diff != "" {
		t.Error(diff)
	}
}

func TestVerifyTableOfAGoodMesh(t *testing.T) {
	t.Parallel()
	r := sampleReport()
	r.Checks, r.LeftOut = r.Checks[:2], nil
	if text := reportText(r); !strings.HasSuffix(text, "\n✔ 1 check passed in 2 clusters, 1 note.\n") {
		t.Error(text)
	}
}

func TestVerifyJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := printReport(&out, sampleReport(), "json"); err != nil {
		t.Fatal(err)
	}
	var got struct {
		OK       bool
		Clusters []map[string]string
		LeftOut  []map[string]string
		Checks   []struct{ Check, From, To, State, Reason, Fix string }
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.OK || len(got.Checks) != 4 || got.Checks[2].State != "fail" || got.Checks[2].Fix == "" || got.LeftOut[0]["context"] != "home" {
		t.Errorf("got %+v", got)
	}
}
