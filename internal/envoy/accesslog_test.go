package envoy

import (
	"testing"

	file "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
)

func TestAccessLogAsJSON(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, format, field, want string }{
		{"Istio's fields", "", "response_code", "%RESPONSE_CODE%"},
		{"own fields", `{"who":"%REQ(:AUTHORITY)%"}`, "who", "%REQ(:AUTHORITY)%"},
	}
	for _, c := range cases {
		config := &file.FileAccessLog{}
		if err := FileLog("/dev/stdout", c.format, true)[0].GetTypedConfig().UnmarshalTo(config); err != nil {
			t.Fatal(err)
		}
		if got := config.GetLogFormat().GetJsonFormat().GetFields()[c.field].GetStringValue(); got != c.want {
			t.Errorf("%s: %s is %q, want %q", c.name, c.field, got, c.want)
		}
	}
	if len(FileLog("", "", true)) != 0 {
		t.Error("a log without a path")
	}
}
