package meshconfig

import (
	"strings"
	"testing"
	"time"
)

const good = "trustDomain: td1\nconnectTimeout: 3s\naccessLogFile: /dev/stdout\ndefaultConfig: {meshId: m1}\n"

func TestWhatWasGoodStays(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, text      string
		timeout, fresh  time.Duration // with and without a last version; 0: not said
		log, freshLog   string
		problemMentions string
	}{
		{"no YAML", "trustDomain: [", 3 * time.Second, 0, "/dev/stdout", "", "is no YAML"},
		{"a list", "- trustDomain", 3 * time.Second, 0, "/dev/stdout", "", "is no YAML"},
		{"a field of another type", "connectTimeout: soon\naccessLogFile: /x", 3 * time.Second, 0, "/x", "/x", "connectTimeout cannot be read"},
		{"by its other name", "connect_timeout: soon", 3 * time.Second, 0, "", "", "connect_timeout cannot be read"},
		{"shorter than Envoy takes", "connectTimeout: 0.0001s", 3 * time.Second, 0, "", "", "use 1ms or more"},
		{"negative", "connectTimeout: -1s", 3 * time.Second, 0, "", "", "use 1ms or more"},
		{"negative detection", "protocolDetectionTimeout: -1s\nconnectTimeout: 2s", 2 * time.Second, 2 * time.Second, "", "", "use 0s or more"},
		{"a field that is taken out", "accessLogFile: /x", 0, 0, "/x", "/x", ""},
		{"a key that is not known", "connectTimeOut: 1s\nconnectTimeout: 2s", 2 * time.Second, 2 * time.Second, "", "", "connectTimeOut"},
		{"nothing", "", 0, 0, "", "", ""},
	}
	last, problems := Read([]byte(good), nil)
	if len(problems) != 0 {
		t.Fatal(problems)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			after, problems := Read([]byte(c.text), last)
			first, _ := Read([]byte(c.text), nil)
			if got := after.Message.GetConnectTimeout().AsDuration(); got != c.timeout || after.Message.GetAccessLogFile() != c.log {
				t.Errorf("after a good one: connectTimeout %s, accessLogFile %q", got, after.Message.GetAccessLogFile())
			}
			if got := first.Message.GetConnectTimeout().AsDuration(); got != c.fresh || first.Message.GetAccessLogFile() != c.freshLog {
				t.Errorf("at the start: connectTimeout %s, accessLogFile %q", got, first.Message.GetAccessLogFile())
			}
			switch {
			case c.problemMentions == "" && len(problems) == 0:
			case c.problemMentions == "" || len(problems) != 1 || !strings.Contains(problems[0].Text, c.problemMentions):
				t.Errorf("problems %v, want one with %q", problems, c.problemMentions)
			}
		})
	}
	if last.Message.GetConnectTimeout().AsDuration() != 3*time.Second {
		t.Error("reading another version changed the last one")
	}
}
