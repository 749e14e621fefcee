package registry

import (
	"strings"

	"github.com/isthmus-mesh/isthmus/internal/model"
)

// protocolNames are the words that people write for protocols. What is not HTTP is TCP to a proxy.
var protocolNames = map[string]model.Protocol{
	"http":       model.HTTP,
	"http_proxy": model.HTTP,
	"http2":      model.HTTP2,
	"grpc":       model.GRPC,
	"grpc-web":   model.GRPC,
	"https":      model.TLS,
	"tls":        model.TLS,
	"tcp":        model.TCP,
	"mongo":      model.TCP,
	"mysql":      model.TCP,
	"redis":      model.TCP,
	"udp":        model.UDP,

	"kubernetes.io/h2c": model.HTTP2,
	"kubernetes.io/ws":  model.HTTP,
	"kubernetes.io/wss": model.TLS,
}

// protocolOf decides what a TCP port of a Service speaks: appProtocol wins over the prefix of the port's name, and a
// word that is no protocol counts as none. On some ports the server speaks first, so nothing can be detected there.
func protocolOf(name string, appProtocol *string, number uint16) model.Protocol {
	if appProtocol != nil {
		name = *appProtocol
	}
	name = strings.ToLower(name)
	if p, ok := protocolNames[name]; ok {
		return p
	}
	if strings.HasPrefix(name, "grpc-web-") {
		return model.GRPC
	}
	prefix, _, _ := strings.Cut(name, "-")
	if p, ok := protocolNames[prefix]; ok {
		return p
	}
	switch number {
	case 25, 53, 3306, 27017: // SMTP, DNS, MySQL, MongoDB
		return model.TCP
	}
	return model.Auto
}
