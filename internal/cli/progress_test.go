package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/isthmus-mesh/isthmus/internal/kube"
)

func TestWaitingIsALineAStateOrOneThatIsRewritten(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		width func() int
		want  string
	}{
		{"a file", nil, "waiting for a\nwaiting for a (why)\ndone\n"},
		{
			"a terminal", func() int { return 16 },
			eraseLine + "0s waiting for " + eraseLine + "1s waiting for " + eraseLine + "10s waiting for" + eraseLine + "done\n",
		},
	}
	for _, c := range cases {
		var out strings.Builder
		p := &progress{out: &out, width: c.width}
		p.waiting("waiting for a", 0)
		p.waiting("waiting for a", 1500*time.Millisecond)
		p.waiting("waiting for a (why)", 10*time.Second)
		p.say("done")
		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Errorf("%s: -want +got\n%s", c.name, diff)
		}
	}
}

func TestWhatIsWaitedForComesWithItsReason(t *testing.T) {
	t.Parallel()
	pending := []kube.Pending{{Kind: "Deployment", Namespace: "a", Name: "b", Reason: "pod b-1:\n no image"}, {Kind: "DaemonSet", Namespace: "a", Name: "c"}}
	if got, want := listed(pending), "Deployment/a/b (pod b-1: no image), DaemonSet/a/c"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
