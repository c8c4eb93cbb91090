{{/* KEDA's words for how Kafka is spoken to; empty for plain text. Who it is stands in the variables of the scaled process. */}}
{{- define "uplift.kafkaSecurity" -}}
{{- $settings := .Values.settings }}
{{- $protocol := $settings.UPLIFT_KAFKA_SECURITY_PROTOCOL | default "PLAINTEXT" }}
{{- if ne $protocol "PLAINTEXT" }}
{{- $mechanisms := dict "PLAIN" "plaintext" "SCRAM-SHA-256" "scram_sha256" "SCRAM-SHA-512" "scram_sha512" }}
authentication: {{ .Release.Name }}-kafka
tls: {{ ternary "enable" "disable" (hasSuffix "SSL" $protocol) }}
sasl: {{ hasPrefix "SASL" $protocol | ternary (get $mechanisms ($settings.UPLIFT_KAFKA_SASL_MECHANISM | default "SCRAM-SHA-512")) "none" }}
{{- end }}
{{- end }}

{{/* The workload of one service in one role, for the templates of the chart `service`. Takes root, service, role. */}}
{{- define "uplift.process" -}}
{{- $root := .root }}
{{- $values := $root.Values }}
{{- $facts := get (include "uplift.facts" $root | fromYaml).services .service }}
{{- $own := get $values.services .service | default dict }}
{{- $resources := merge dict (get $own .role | default dict) (get $values.roles .role) }}
{{- $scope := dict "root" $root "name" .service "component" .role }}
{{- $settings := include "uplift.settings" $root | fromYaml }}
{{- if eq .service "identity" }}
{{- $settings = merge $settings (include "uplift.identitySettings" $root | fromYaml) }}
{{- end }}
{{- /* Not by merge, for which an empty text is no text. */}}
{{- range $name, $value := $own.settings }}
{{- $_ := set $settings $name $value }}
{{- end }}
{{- $flags := "" }}
{{- if $values.featureFlags }}
{{- $flags = printf "%s-feature-flags" $root.Release.Name }}
{{- $_ := set $settings "UPLIFT_FEATURE_FLAGS_FILE" "/etc/uplift/feature-flags/flags.json" }}
{{- end }}
{{- $secrets := concat (include "uplift.sharedSecrets" $root | fromYamlArray) ($own.secrets | default list) }}
{{- $ingress := include "uplift.fromNamespace" $values.monitoring.namespace | fromYamlArray }}
{{- $egress := include "uplift.egressToPlatform" $root | fromYamlArray }}
{{- $api := include "uplift.apiPods" $root | fromYaml }}
{{- $port := list (dict "protocol" "TCP" "port" 8000) }}
{{- if eq .role "api" }}
{{- $ingress = concat $ingress (include "uplift.fromNamespace" $values.gateway.namespace | fromYamlArray) }}
{{- $identity := dict "podSelector" (dict "matchLabels" (include "uplift.selector" (dict "root" $root "name" "identity" "component" "api") | fromYaml)) }}
{{- if eq .service "identity" }}
{{- /* It has the others check their sections of a blueprint; Keycloak tells it of sign-outs. */}}
{{- $egress = append $egress (dict "to" (list $api) "ports" $port) }}
{{- $ingress = concat $ingress (include "uplift.fromNamespace" $values.keycloak.namespace | fromYamlArray) }}
{{- else }}
{{- $ingress = append $ingress (dict "from" (list $identity) "ports" $port) }}
{{- end }}
{{- end }}
{{- with $resources.internetPorts }}
{{- $egress = concat $egress (include "uplift.egressToInternet" . | fromYamlArray) }}
{{- end }}
{{- $preStop := ternary 5 0 (eq .role "api") }}
{{- $workload := dict
  "name" (printf "%s-%s-%s" $root.Release.Name .service .role)
  "labels" (include "uplift.labels" $scope | fromYaml)
  "selector" (include "uplift.selector" $scope | fromYaml)
  "image" (include "uplift.image" $scope)
  "pullSecret" $values.image.pullSecret
  "kafkaCaSecret" $values.kafka.caSecret
  "featureFlags" $flags
  "args" (list "servicekit" .role)
  "env" (include "uplift.env" (dict "settings" $settings "secrets" (list (list $values.secrets.services $secrets))) | fromYamlArray)
  "cpu" $resources.cpu
  "memory" $resources.memory
  "readyPath" "/readyz"
  "preStopSeconds" $preStop
  "graceSeconds" (add $preStop (ceil (float64 $settings.UPLIFT_DRAIN_SECONDS) | int) 25)
  "serviceAccount" (printf "%s-%s" $root.Release.Name .service)
  "ingress" $ingress
  "egress" $egress
  "cpuUtilization" $resources.cpuUtilization
  "slowly" (eq .role "work") }}
{{- $scaling := get (get $values.scaling .service | default dict) .role }}
{{- if and $scaling (ne $values.autoscaling "none") }}
{{- $_ := set $workload "scaling" $scaling }}
{{- else }}
{{- $_ := set $workload "replicas" $resources.replicas }}
{{- end }}
{{- if and (eq .role "work") $facts.topics }}
{{- $_ := set $workload "lag" (dict "bootstrapServers" $settings.UPLIFT_KAFKA_BOOTSTRAP_SERVERS "group" .service "topics" $facts.topics "perReplica" $resources.lagPerReplica "security" (include "uplift.kafkaSecurity" $root | fromYaml)) }}
{{- end }}
{{- toYaml $workload }}
{{- end }}
