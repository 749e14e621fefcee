package meshconfig

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	meshv1 "istio.io/api/mesh/v1alpha1"
)

// wrongFormat says what Envoy would refuse in the format of the access log, and with it every listener; "" if it is good.
func wrongFormat(config *meshv1.MeshConfig) string {
	format := config.GetAccessLogFormat()
	if format == "" || config.GetAccessLogEncoding() != meshv1.MeshConfig_JSON {
		return wrongOperators(format)
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(format), &object); err != nil {
		return "with accessLogEncoding JSON it has to be a JSON object whose values hold the operators"
	}
	return wrongValue(object)
}

// wrongValue looks into the values of JSON. Names of fields are written as they are.
func wrongValue(value any) string {
	switch v := value.(type) {
	case string:
		return wrongOperators(v)
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if wrong := wrongValue(v[name]); wrong != "" {
				return wrong
			}
		}
	case []any:
		for _, item := range v {
			if wrong := wrongValue(item); wrong != "" {
				return wrong
			}
		}
	}
	return ""
}

// operator is one as Envoy parses it: %NAME%, %NAME(ARGUMENT)% or %NAME(ARGUMENT):LENGTH%.
var operator = regexp.MustCompile(`^%([A-Z0-9_]+)(?:\((.*?)\))?(?::([0-9]+))?%`)

func wrongOperators(format string) string {
	for {
		_, rest, found := strings.Cut(format, "%")
		if !found {
			return ""
		}
		if literal, ok := strings.CutPrefix(rest, "%"); ok {
			format = literal
			continue
		}
		parts := operator.FindStringSubmatch("%" + rest)
		if parts == nil {
			return fmt.Sprintf("%q is no operator such as %%PROTOCOL%% or %%REQ(:METHOD)%%; %%%% writes a percent sign", shortened("%"+rest))
		}
		if wrong := wrongOperator(parts[0], parts[1], parts[2], parts[3]); wrong != "" {
			return wrong
		}
		format = rest[len(parts[0])-1:]
	}
}

func wrongOperator(whole, name, argument, length string) string {
	needs, takes := slices.Contains(needArgument, name), slices.Contains(takeArgument, name)
	switch {
	case !needs && !takes && !slices.Contains(takeNothing, name):
		return fmt.Sprintf("Envoy knows no operator %s", whole)
	case needs && argument == "":
		return fmt.Sprintf("the operator %s needs an argument in parentheses", whole)
	case !needs && !takes && strings.Contains(whole, "("):
		return fmt.Sprintf("the operator %s takes no argument", whole)
	case length != "" && !slices.Contains(shortens, name):
		return fmt.Sprintf("the operator %s takes no length", whole)
	case strings.Count(argument, "?") > 1 && slices.Contains(headers, name):
		return fmt.Sprintf("the operator %s has more than one alternative", whole)
	default:
		return ""
	}
}

func shortened(text string) string {
	if len(text) > 40 {
		return text[:40] + "..."
	}
	return text
}

// The operators of Envoy 1.40, each tried with it: https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/advanced/substitution_formatter
var (
	headers      = strings.Fields(`REQ RESP TRAILER REQUEST_HEADER RESPONSE_HEADER RESPONSE_TRAILER`)
	needArgument = append(strings.Fields(`
CEL CLUSTER_METADATA COALESCE COMMON_DURATION DYNAMIC_METADATA ENVIRONMENT FILTER_STATE METADATA QUERY_PARAM STREAM_INFO_REQ
UPSTREAM_FILTER_STATE UPSTREAM_METADATA`), headers...)
	shortens     = append(strings.Fields(`PATH QUERY_PARAMS CEL COALESCE DYNAMIC_METADATA ENVIRONMENT FILTER_STATE METADATA QUERY_PARAM STREAM_INFO_REQ UPSTREAM_FILTER_STATE`), headers...)
	takeArgument = strings.Fields(`
DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT
DOWNSTREAM_PEER_CERT_V_END DOWNSTREAM_PEER_CERT_V_START DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT EMIT_TIME EMIT_TIME_LOCAL
GRPC_STATUS PATH QUERY_PARAMS REQUESTED_SERVER_NAME RESPONSE_CODE_DETAILS START_TIME START_TIME_LOCAL
UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT UPSTREAM_PEER_CERT_V_END UPSTREAM_PEER_CERT_V_START UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT`)
	takeNothing = strings.Fields(`
ACCESS_LOG_TYPE BYTES_RECEIVED BYTES_RETRANSMITTED BYTES_SENT CONNECTION_ID CONNECTION_TERMINATION_DETAILS CUSTOM_FLAGS
DOWNSTREAM_CX_RTT DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT
DOWNSTREAM_DETECTED_CLOSE_TYPE DOWNSTREAM_DIRECT_LOCAL_ADDRESS DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID
DOWNSTREAM_DIRECT_LOCAL_PORT DOWNSTREAM_DIRECT_REMOTE_ADDRESS DOWNSTREAM_DIRECT_REMOTE_PORT DOWNSTREAM_HANDSHAKE_DURATION
DOWNSTREAM_HEADER_BYTES_RECEIVED DOWNSTREAM_HEADER_BYTES_SENT DOWNSTREAM_LOCAL_ADDRESS DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID
DOWNSTREAM_LOCAL_CLOSE_REASON DOWNSTREAM_LOCAL_DNS_SAN DOWNSTREAM_LOCAL_EMAIL_SAN DOWNSTREAM_LOCAL_IP_SAN
DOWNSTREAM_LOCAL_OTHERNAME_SAN DOWNSTREAM_LOCAL_PORT DOWNSTREAM_LOCAL_SUBJECT DOWNSTREAM_LOCAL_URI_SAN DOWNSTREAM_PEER_CERT
DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1 DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256 DOWNSTREAM_PEER_CHAIN_SERIALS DOWNSTREAM_PEER_DNS_SAN
DOWNSTREAM_PEER_EMAIL_SAN DOWNSTREAM_PEER_FINGERPRINT_1 DOWNSTREAM_PEER_FINGERPRINT_256 DOWNSTREAM_PEER_IP_SAN
DOWNSTREAM_PEER_ISSUER DOWNSTREAM_PEER_ISSUER_FINGERPRINT_256 DOWNSTREAM_PEER_ISSUER_SERIAL DOWNSTREAM_PEER_OTHERNAME_SAN
DOWNSTREAM_PEER_SERIAL DOWNSTREAM_PEER_SUBJECT DOWNSTREAM_PEER_URI_SAN DOWNSTREAM_REMOTE_ADDRESS DOWNSTREAM_REMOTE_PORT
DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_GROUP DOWNSTREAM_TLS_SESSION_ID DOWNSTREAM_TLS_VERSION DOWNSTREAM_TRANSPORT_FAILURE_REASON
DOWNSTREAM_WIRE_BYTES_RECEIVED DOWNSTREAM_WIRE_BYTES_SENT DURATION FILTER_CHAIN_NAME GRPC_STATUS_NUMBER HOSTNAME LISTENER_NAME
LOCAL_REPLY_BODY PROTOCOL REQUEST_DURATION REQUEST_HEADERS_BYTES REQUEST_TX_DURATION RESPONSE_CODE RESPONSE_DURATION
RESPONSE_FLAGS RESPONSE_FLAGS_LONG RESPONSE_HEADERS_BYTES RESPONSE_TRAILERS_BYTES RESPONSE_TX_DURATION ROUNDTRIP_DURATION
ROUTE_NAME ROUTE_RESOLUTION_COUNT ROUTE_RESOLUTION_TIME_US SPAN_ID STREAM_ID TLS_JA3_FINGERPRINT TLS_JA4_FINGERPRINT TRACE_ID
UNIQUE_ID UPSTREAM_CLUSTER UPSTREAM_CLUSTER_RAW UPSTREAM_CONNECTION_ID UPSTREAM_CONNECTION_IDS_ATTEMPTED
UPSTREAM_CONNECTION_POOL_READY_DURATION UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT
UPSTREAM_DETECTED_CLOSE_TYPE UPSTREAM_HEADER_BYTES_RECEIVED UPSTREAM_HEADER_BYTES_SENT UPSTREAM_HOST UPSTREAM_HOSTS_ATTEMPTED
UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT UPSTREAM_HOST_NAME UPSTREAM_HOST_NAMES_ATTEMPTED UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT
UPSTREAM_HOST_NAME_WITHOUT_PORT UPSTREAM_LOCAL_ADDRESS UPSTREAM_LOCAL_CLOSE_REASON UPSTREAM_LOCAL_DNS_SAN UPSTREAM_LOCAL_IP_SAN
UPSTREAM_LOCAL_PORT UPSTREAM_LOCAL_URI_SAN UPSTREAM_PEER_CERT UPSTREAM_PEER_DNS_SAN UPSTREAM_PEER_IP_SAN UPSTREAM_PEER_ISSUER
UPSTREAM_PEER_SUBJECT UPSTREAM_PEER_URI_SAN UPSTREAM_PROTOCOL UPSTREAM_REMOTE_ADDRESS UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID
UPSTREAM_REMOTE_PORT UPSTREAM_REQUEST_ATTEMPT_COUNT UPSTREAM_SERVER_NAME UPSTREAM_TLS_CIPHER UPSTREAM_TLS_GROUP
UPSTREAM_TLS_SESSION_ID UPSTREAM_TLS_VERSION UPSTREAM_TRANSPORT_FAILURE_REASON UPSTREAM_WIRE_BYTES_RECEIVED
UPSTREAM_WIRE_BYTES_SENT VIRTUAL_CLUSTER_NAME`)
)
