{{/* What all pods have in common. A component's dict: root, component, values. */}}

{{- define "whisperfleet.podMetadata" -}}
# No version: an upgrade restarts only what it changes.
labels: {{- include "whisperfleet.selectorLabels" . | nindent 2 }}
  app.kubernetes.io/part-of: whisperfleet
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge dict (default dict .values.podAnnotations) (default dict .annotations) .root.Values.commonAnnotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "whisperfleet.podSpec" -}}
automountServiceAccountToken: {{ default false .token }}
enableServiceLinks: false
securityContext: {{- include "whisperfleet.podSecurity" . | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if hasKey .values "topologySpreadConstraints" }}
topologySpreadConstraints:
  {{- with .values.topologySpreadConstraints }}
  {{- toYaml . | nindent 2 }}
  {{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "whisperfleet.selectorLabels" . | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "whisperfleet.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "whisperfleet.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
readOnlyRootFilesystem: true
{{- end -}}

{{- define "whisperfleet.processEnv" -}}
- name: HOME
  value: /tmp
- name: WHISPERFLEET_LOG_JSON
  value: {{ .Values.logs.json | quote }}
{{- with .Values.otlpEndpoint }}
- name: WHISPERFLEET_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* The pod's own address: one family or the other, as the cluster has it. */}}
{{- define "whisperfleet.probeEnv" -}}
- name: WHISPERFLEET_PROBE_HOST
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: WHISPERFLEET_PROBE_PORT
  value: "8080"
{{- end -}}

{{- define "whisperfleet.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 120
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}
