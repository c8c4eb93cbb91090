{{/* `name`, `labels`, `selector`: scrapes /metrics of the pods as the job that the alerts and dashboards ask for. */}}
{{- define "service.podMonitor" -}}
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata:
  name: {{ .name }}
  labels: {{- toYaml .labels | nindent 4 }}
spec:
  jobLabel: app.kubernetes.io/part-of
  selector: {{- toYaml .selector | nindent 4 }}
  podMetricsEndpoints:
    - {port: http, path: /metrics, interval: 15s}
{{- end }}
