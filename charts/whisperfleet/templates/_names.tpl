{{/* Names and labels. A component's dict: root, component. */}}

{{- define "whisperfleet.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "whisperfleet.componentName" -}}
{{ include "whisperfleet.fullname" .root }}-{{ .component }}
{{- end -}}

{{- define "whisperfleet.selectorLabels" -}}
app.kubernetes.io/name: whisperfleet
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "whisperfleet.labels" -}}
{{ include "whisperfleet.selectorLabels" . }}
app.kubernetes.io/part-of: whisperfleet
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata of a namespaced object; name and annotations if they are not the component's own */}}
{{- define "whisperfleet.metadata" -}}
name: {{ default (include "whisperfleet.componentName" .) .name }}
namespace: {{ default .root.Release.Namespace .namespace }}
labels: {{- include "whisperfleet.labels" . | nindent 2 }}
{{- with merge dict (default dict .annotations) .root.Values.commonAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "whisperfleet.image" -}}
{{- $registry := default .root.Values.image.registry .image.registry -}}
{{- $version := default .root.Chart.AppVersion .root.Values.image.tag -}}
{{- $tag := default (printf "%s%s" (default "" .image.tagPrefix) $version) .image.tag -}}
{{- $name := printf "%s/%s" $registry .image.repository -}}
{{- with .image.digest -}}
{{- printf "%s@%s" $name . -}}
{{- else -}}
{{- printf "%s:%s" $name $tag -}}
{{- end -}}
{{- end -}}

{{- define "whisperfleet.gatewayUrl" -}}
http://{{ include "whisperfleet.fullname" . }}-gateway.{{ .Release.Namespace }}.svc:{{ .Values.gateway.service.port }}
{{- end -}}

{{/* Of a URL, for network policies. */}}
{{- define "whisperfleet.portOf" -}}
{{- $url := urlParse . -}}
{{- $usual := dict "http" "80" "ws" "80" "nats" "4222" "tls" "4222" -}}
{{- default (default "443" (get $usual $url.scheme)) (regexFind ":[0-9]+$" $url.host | trimPrefix ":") -}}
{{- end -}}

{{/* Helm reads those of a file as floats, which would be printed as 1.23e+08. */}}
{{- define "whisperfleet.wholeNumbers" -}}
{{- $whole := list -}}
{{- range . }}{{ $whole = append $whole (int64 .) }}{{ end -}}
{{- join "," $whole -}}
{{- end -}}

{{- define "whisperfleet.operatorAccount" -}}
{{- default (include "whisperfleet.componentName" (dict "root" . "component" "operator")) .Values.operator.serviceAccount.existingName -}}
{{- end -}}

{{/* The processes that this release runs. */}}
{{- define "whisperfleet.processes" -}}
operator
{{- if .Values.gateway.enabled }} gateway{{ end }}
{{- if .Values.planner.enabled }} planner{{ end }}
{{- if .Values.bot.token.secretName }} bot{{ end }}
{{- end -}}
