{{/* Name of the control plane's objects: istiod, or istiod-REV. */}}
{{- define "istiod.name" -}}
istiod{{ with .Values.revision }}-{{ . }}{{ end }}
{{- end }}

{{/* Revision as the label istio.io/rev carries it. */}}
{{- define "istiod.rev" -}}
{{ .Values.revision | default "default" }}
{{- end }}

{{/* Namespace of the control plane, as a suffix of the names of cluster-wide objects. */}}
{{- define "istiod.clusterName" -}}
{{ with .Values.revision }}-{{ . }}{{ end }}-{{ .Release.Namespace }}
{{- end }}

{{/* Labels of every object of this chart. */}}
{{- define "istiod.labels" -}}
app: istiod
istio.io/rev: {{ include "istiod.rev" . }}
release: {{ .Release.Name }}
app.kubernetes.io/name: istiod
app.kubernetes.io/part-of: istio
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{/* Labels that find the pods of this control plane. */}}
{{- define "istiod.selector" -}}
app: istiod
{{- if .Values.revision }}
istio.io/rev: {{ .Values.revision }}
{{- else }}
istio: pilot
{{- end }}
{{- end }}
