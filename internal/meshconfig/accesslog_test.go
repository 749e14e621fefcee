package meshconfig

import (
	"fmt"
	"strings"
	"testing"

	meshv1 "istio.io/api/mesh/v1alpha1"
)

func TestFormatsThatEnvoyRefusesAreFound(t *testing.T) {
	t.Parallel()
	cases := []struct{ format, wrong string }{
		{"", ""},
		{"plain text\n", ""},
		{"100%% [%START_TIME%] %REQ(:METHOD)% %REQ(X-A?:PATH):10% %PROTOCOL%\n", ""},
		{"%START_TIME(%s)% %DYNAMIC_METADATA(a:b)% %COMMON_DURATION(DS_RX_BEG:DS_RX_END:ms)%", ""},
		{`%CEL(request.headers["x"])%`, ""},
		{"%UPSTREAM_HOTS%", "no operator %UPSTREAM_HOTS%"},
		{"%protocol%", "is no operator"},
		{"100% sure", "is no operator"},
		{"%DURATION", "is no operator"},
		{"%REQ%", "needs an argument"},
		{"%REQ()%", "needs an argument"},
		{"%PROTOCOL(a)%", "takes no argument"},
		{"%PROTOCOL:4%", "takes no length"},
		{"%UPSTREAM_METADATA(a:b):4%", "takes no length"},
		{"%PATH:4% %FILTER_STATE(a):4%", ""},
		{"%REQ(A?B?C)%", "more than one alternative"},
	}
	for _, c := range cases {
		got := wrongFormat(&meshv1.MeshConfig{AccessLogFormat: c.format})
		if (got == "") != (c.wrong == "") || !strings.Contains(got, c.wrong) {
			t.Errorf("%q: %q, want %q", c.format, got, c.wrong)
		}
	}
}

func TestFormatsOfJSONAreObjects(t *testing.T) {
	t.Parallel()
	for format, good := range map[string]bool{
		"": true, `{"a":"%PROTOCOL%","b":{"c":["%DURATION%",1,null,true]},"%FOO%":""}`: true,
		"%PROTOCOL%": false, `["%PROTOCOL%"]`: false, `{"a":{"b":"%FOO%"}}`: false, `{"a":["%REQ%"]}`: false,
	} {
		if got := wrongFormat(&meshv1.MeshConfig{AccessLogFormat: format, AccessLogEncoding: meshv1.MeshConfig_JSON}); (got == "") != good {
			t.Errorf("%q: %q", format, got)
		}
	}
}

func TestABadFormatLeavesTheLastOneWithItsEncoding(t *testing.T) {
	t.Parallel()
	last, _ := Read([]byte(`accessLogFormat: "%PROTOCOL%"`), nil)
	bad := []byte("accessLogEncoding: JSON\naccessLogFormat: '%DURATION%'")
	after, problems := Read(bad, last)
	if m := after.Message; m.GetAccessLogFormat() != "%PROTOCOL%" || m.GetAccessLogEncoding() != meshv1.MeshConfig_TEXT || len(problems) != 1 {
		t.Errorf("after a good one: %v, problems %v", m, problems)
	}
	first, problems := Read(bad, nil)
	if m := first.Message; m.GetAccessLogFormat() != "" || m.GetAccessLogEncoding() != meshv1.MeshConfig_JSON || len(problems) != 1 {
		t.Errorf("at the start: %v, problems %v", m, problems)
	}
	if !strings.Contains(fmt.Sprint(problems), "accessLogFormat") {
		t.Errorf("problems %v do not name the field", problems)
	}
}
