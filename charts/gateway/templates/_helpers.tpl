{{- define "gateway.name" -}}
{{ .Values.name | default .Release.Name }}
{{- end }}

{{- define "gateway.account" -}}
{{ .Values.serviceAccount.name | default (include "gateway.name" .) }}
{{- end }}

{{/* Service account of the control plane that serves the gateway. */}}
{{- define "gateway.istiodAccount" -}}
{{ .Values.rbac.istiodServiceAccount | default (printf "istiod%s" (ternary "" (printf "-%s" .Values.revision) (empty .Values.revision))) }}
{{- end }}

{{/* Labels that find the pods: also what a Gateway resource selects by (istio: ingressgateway). */}}
{{- define "gateway.selector" -}}
app: {{ (get (.Values.labels | default dict) "app") | default (include "gateway.name" .) | quote }}
istio: {{ (get (.Values.labels | default dict) "istio") | default (include "gateway.name" . | trimPrefix "istio-") | quote }}
{{- end }}

{{/* Labels of every object of this chart. */}}
{{- define "gateway.labels" -}}
{{ include "gateway.selector" . }}
release: {{ .Release.Name }}
app.kubernetes.io/name: {{ include "gateway.name" . }}
app.kubernetes.io/part-of: istio
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- with .Values.networkGateway }}
topology.istio.io/network: {{ . | quote }}
{{- end }}
{{- with omit (.Values.labels | default dict) "app" "istio" (ternary "topology.istio.io/network" "" (ne .Values.networkGateway "")) }}
{{ toYaml . }}
{{- end }}
{{- end }}
