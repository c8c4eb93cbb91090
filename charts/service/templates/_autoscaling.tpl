{{/*
Autoscaling takes a workload with
  scaling: {min, max, triggers: [{name, timezone, start, end, replicas}]}
  cpuUtilization, lag: {bootstrapServers, group, topics, perReplica, security} (absent: not by lag)
    security: {authentication, tls, sasl}, empty for plain text
  slowly: shrink by a quarter a minute, since each step stops the readers of a topic for a moment
*/}}

{{- define "service.scaledObject" -}}
{{- $hpa := printf "keda-hpa-%s" .name }}
{{- if gt (len $hpa) 63 }}
{{- fail (printf "KEDA would name the autoscaler %s, which is longer than 63 characters: choose a shorter release name." $hpa) }}
{{- end }}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ .name }}
  labels: {{- toYaml .labels | nindent 4 }}
spec:
  scaleTargetRef: {name: {{ .name }}}
  minReplicaCount: {{ .scaling.min }}
  maxReplicaCount: {{ .scaling.max }}
  advanced:
    horizontalPodAutoscalerConfig:
      behavior: {{- include "service.scalingBehavior" . | nindent 8 }}
  {{- if or .scaling.triggers .lag }}
  # A source that answers wrongly never shrinks a shift. While Kafka's brokers are away KEDA does not get as far as this; it is the
  # autoscaler that does not shrink by what it knows in part.
  fallback:
    failureThreshold: 3
    replicas: {{ .scaling.min }}
    behavior: currentReplicasIfHigher
  {{- end }}
  triggers:
    {{- range .scaling.triggers }}
    - type: cron
      name: {{ .name }}
      metadata:
        timezone: {{ .timezone }}
        start: {{ .start | quote }}
        end: {{ .end | quote }}
        desiredReplicas: {{ .replicas | quote }}
    {{- end }}
    {{- with .lag }}
    {{- range .topics }}
    - type: kafka
      name: lag-{{ . | replace "." "-" }}
      metadata:
        bootstrapServers: {{ $.lag.bootstrapServers }}
        consumerGroup: {{ printf "%s:%s" $.lag.group . | quote }}
        topic: {{ . }}
        lagThreshold: {{ $.lag.perReplica | quote }}
        offsetResetPolicy: earliest
        {{- with $.lag.security }}
        tls: {{ .tls }}
        sasl: {{ .sasl }}
      authenticationRef: {name: {{ .authentication }}}
        {{- end }}
    {{- end }}
    {{- end }}
    - type: cpu
      metricType: Utilization
      metadata:
        value: {{ .cpuUtilization | quote }}
{{- end }}

{{/* Without KEDA: by CPU only. minReplicas is not said here, since what moves it by the clock would be reset by each upgrade. */}}
{{- define "service.horizontalPodAutoscaler" -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  labels: {{- toYaml .labels | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .name }}}
  maxReplicas: {{ .scaling.max }}
  behavior: {{- include "service.scalingBehavior" . | nindent 4 }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ .cpuUtilization }}}
{{- end }}

{{- define "service.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  # By default steps below a tenth are passed over: 30 to 32 would never come.
  tolerance: "0"
scaleDown:
  stabilizationWindowSeconds: 300
  {{- if .slowly }}
  policies:
    - {type: Percent, value: 25, periodSeconds: 60}
  {{- end }}
{{- end }}
