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

{{/* Environment of istiod; an entry of the user's with the same name takes the place of one here. */}}
{{- define "istiod.env" -}}
- name: REVISION
  value: {{ include "istiod.rev" . | quote }}
- name: PILOT_CERT_PROVIDER
  value: istiod
- name: POD_NAME
  valueFrom:
    fieldRef: {apiVersion: v1, fieldPath: metadata.name}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}
- name: SERVICE_ACCOUNT
  valueFrom:
    fieldRef: {apiVersion: v1, fieldPath: spec.serviceAccountName}
- name: CLUSTER_ID
  value: {{ .Values.global.multiCluster.clusterName | default "Kubernetes" | quote }}
- name: TOKEN_AUDIENCES
  value: {{ .Values.global.sds.token.aud | quote }}
- name: GOMEMLIMIT
  valueFrom:
    resourceFieldRef: {resource: limits.memory, divisor: "1"}
- name: GOMAXPROCS
  valueFrom:
    resourceFieldRef: {resource: limits.cpu, divisor: "1"}
{{- end }}
