{{/* Where a CronJob goes that moves minReplicas of a plain HPA by the clock. Takes root and workload. */}}
{{- define "uplift.floorCronJob" -}}
{{- end }}
