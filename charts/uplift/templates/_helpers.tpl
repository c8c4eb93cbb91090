{{- define "uplift.facts" -}}
{{ .Files.Get "generated/services.yaml" }}
{{- end }}

{{- define "uplift.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "uplift.labels" -}}
{{ include "uplift.selector" . }}
app.kubernetes.io/part-of: uplift
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "uplift.image" -}}
{{ .root.Values.image.registry }}/{{ .name }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- define "uplift.keycloakUrl" -}}
http://{{ .Values.keycloak.service }}.{{ .Values.keycloak.namespace }}.svc:{{ .Values.keycloak.port }}
{{- end }}

{{- define "uplift.issuer" -}}
{{ trimSuffix "/" .Values.publicUrl }}/realms/uplift
{{- end }}

{{- define "uplift.jwksUrl" -}}
{{ include "uplift.keycloakUrl" . }}/realms/uplift/protocol/openid-connect/certs
{{- end }}

{{/* Variables of every process, without secrets. */}}
{{- define "uplift.settings" -}}
{{- $computed := dict
  "UPLIFT_ISSUER" (include "uplift.issuer" .)
  "UPLIFT_JWKS_URL" (include "uplift.jwksUrl" .)
  "UPLIFT_LOG_FORMAT" "json" }}
{{- if .Values.kafka.caSecret }}
{{- $_ := set $computed "UPLIFT_KAFKA_CA_FILE" "/etc/uplift/kafka/ca.crt" }}
{{- end }}
{{- toYaml (merge dict .Values.settings $computed) }}
{{- end }}

{{/* Further variables of identity's processes, and of the Job that sets up the realm. */}}
{{- define "uplift.identitySettings" -}}
IDENTITY_KEYCLOAK_URL: {{ include "uplift.keycloakUrl" . }}
IDENTITY_SERVICES_URL: http://{{ .Release.Name }}-{service}:8000
{{- end }}

{{/* Entries of `env`: `settings` by name, then `secrets`: pairs of a Secret and its keys, which are names of variables. */}}
{{- define "uplift.env" -}}
{{- range $name, $value := .settings }}
{{- if ne $value "" }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
{{- range .secrets }}
{{- $secret := first . }}
{{- range last . }}
- {name: {{ . }}, valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ . }}}}}
{{- end }}
{{- end }}
{{- end }}

{{/* Secrets of every service's processes. */}}
{{- define "uplift.sharedSecrets" -}}
- UPLIFT_DATABASE_URL
- UPLIFT_MONGODB_URL
- UPLIFT_SECRET
{{- with include "uplift.kafkaSecrets" . | fromYamlArray }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What a process needs to enter Kafka. */}}
{{- define "uplift.kafkaSecrets" -}}
{{- if hasPrefix "SASL" (.Values.settings.UPLIFT_KAFKA_SECURITY_PROTOCOL | default "") }}
- UPLIFT_KAFKA_PASSWORD
{{- else }}
[]
{{- end }}
{{- end }}

{{- define "uplift.adminSecrets" -}}
- UPLIFT_ADMIN_DATABASE_URL
- UPLIFT_PROVISION_ADMIN_PASSWORD
- UPLIFT_PROVISION_ADMIN_USERNAME
{{- end }}
