{{/* How a process finds the queue. A role's dict: root, role. */}}

{{- define "whisperfleet.natsHost" -}}
{{ include "whisperfleet.fullname" . }}-nats.{{ .Release.Namespace }}.svc
{{- end -}}

{{- define "whisperfleet.natsUrl" -}}
{{- if .Values.nats.enabled -}}
nats://{{ include "whisperfleet.natsHost" . }}:4222
{{- else -}}
{{ required "nats.enabled is false: nats.external.url must say where NATS is." .Values.nats.external.url }}
{{- end -}}
{{- end -}}

{{- define "whisperfleet.natsSecret" -}}
{{- if .Values.nats.enabled -}}
{{- default (printf "%s-nats-keys" (include "whisperfleet.fullname" .)) .Values.nats.existingSecret -}}
{{- else -}}
{{ required "nats.enabled is false: nats.external.secretName must name the Secret with the credentials." .Values.nats.external.secretName }}
{{- end -}}
{{- end -}}

{{- define "whisperfleet.natsUsesCredentials" -}}
{{- if or .Values.nats.enabled (eq .Values.nats.external.authentication "credentials") -}}true{{- end -}}
{{- end -}}

{{- define "whisperfleet.natsCaSecret" -}}
{{- if not .Values.nats.enabled -}}{{ .Values.nats.external.ca.secretName }}{{- end -}}
{{- end -}}

{{- define "whisperfleet.natsEnv" -}}
- name: WHISPERFLEET_NATS_URL
  value: {{ include "whisperfleet.natsUrl" .root | quote }}
{{- if include "whisperfleet.natsUsesCredentials" .root }}
- name: WHISPERFLEET_NATS_CREDENTIALS
  value: /var/run/whisperfleet/nats/{{ .role }}.creds
# Replies carry audio: each role has an inbox that no other may listen on.
- name: WHISPERFLEET_NATS_INBOX_PREFIX
  value: _INBOX_{{ .role }}
{{- else }}
{{- range tuple "user" "password" }}
- name: WHISPERFLEET_NATS_{{ upper . }}
  valueFrom:
    secretKeyRef:
      name: {{ include "whisperfleet.natsSecret" $.root }}
      key: {{ $.role }}-{{ . }}
{{- end }}
{{- end }}
{{- if include "whisperfleet.natsCaSecret" .root }}
- name: WHISPERFLEET_NATS_CA
  value: /var/run/whisperfleet/nats-ca/ca.crt
{{- end }}
{{- end -}}

{{- define "whisperfleet.natsMounts" -}}
{{- if include "whisperfleet.natsUsesCredentials" .root }}
- name: nats
  mountPath: /var/run/whisperfleet/nats
  readOnly: true
{{- end }}
{{- if include "whisperfleet.natsCaSecret" .root }}
- name: nats-ca
  mountPath: /var/run/whisperfleet/nats-ca
  readOnly: true
{{- end }}
{{- end -}}

{{/* No role sees the keys of another. */}}
{{- define "whisperfleet.natsVolumes" -}}
{{- if include "whisperfleet.natsUsesCredentials" .root }}
- name: nats
  secret:
    secretName: {{ include "whisperfleet.natsSecret" .root }}
    defaultMode: 0440
    items:
      {{- range concat (list (printf "%s.creds" .role)) (default list .keys) }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end }}
{{- with include "whisperfleet.natsCaSecret" .root }}
- name: nats-ca
  secret:
    secretName: {{ . }}
    items:
      - {key: {{ $.root.Values.nats.external.ca.key }}, path: ca.crt}
{{- end }}
{{- end -}}

{{/* A quantity in bytes: 512Mi, 4Gi, 1G, 1000. */}}
{{- define "whisperfleet.bytes" -}}
{{- $units := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $text := toString . -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $units (regexFind "[a-zA-Z]*$" $text)) | floor | int64 -}}
{{- end -}}

{{/* What nats-server may fill. */}}
{{- define "whisperfleet.natsFileStore" -}}
{{- $store := include "whisperfleet.bytes" .Values.nats.fileStore | int64 -}}
{{- if and .Values.nats.enabled (gt (mul $store 100) (mul (include "whisperfleet.bytes" .Values.nats.persistence.size | int64) 95)) -}}
{{- fail (printf "nats.fileStore is %s and nats.persistence.size is %s. Leave a twentieth of the claim free: on a full disk nothing is accepted." .Values.nats.fileStore .Values.nats.persistence.size) -}}
{{- end -}}
{{- $store -}}
{{- end -}}

{{- define "whisperfleet.queueReplicas" -}}
{{- ternary .Values.nats.replicas .Values.nats.external.streamReplicas .Values.nats.enabled -}}
{{- end -}}

{{/* Egress rules. */}}
{{- define "whisperfleet.reachesDnsAndNats" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- if .Values.nats.enabled }}
- ports:
    - {port: 4222, protocol: TCP}
  to:
    - podSelector:
        matchLabels: {{- include "whisperfleet.selectorLabels" (dict "root" . "component" "nats") | nindent 10 }}
{{- else }}
- ports:
    {{- range splitList "," (include "whisperfleet.natsUrl" .) }}
    - {port: {{ include "whisperfleet.portOf" (trim .) }}, protocol: TCP}
    {{- end }}
{{- end }}
{{- with .Values.otlpEndpoint }}
- ports:
    - {port: {{ include "whisperfleet.portOf" . }}, protocol: TCP}
{{- end }}
{{- end }}
