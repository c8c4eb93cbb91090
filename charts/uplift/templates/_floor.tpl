{{/*
Without KEDA, a CronJob moves minReplicas of the plain HPAs by the clock, `uplift scaling apply`. The HPAs do not say
minReplicas themselves, so no upgrade and no GitOps controller resets it. Its pod is the only one that holds a token of
Kubernetes' API, and may patch these HPAs and nothing else.
*/}}
{{- define "uplift.floorCronJob" -}}
{{- $name := printf "%s-floor" .Release.Name }}
{{- $minutes := 5 }}
{{- $scope := dict "root" . "name" "floor" "component" "floor" }}
{{- $labels := include "uplift.labels" $scope | fromYaml }}
{{- $hpas := list }}
{{- $shifts := dict }}
{{- range $service, $roles := .Values.scaling }}
{{- range $role, $of := $roles }}
{{- $hpas = append $hpas (printf "%s-%s-%s" $.Release.Name $service $role) }}
{{- $own := merge (pick $of "min" "max") ($of.shifts | default dict) }}
{{- $_ := set $shifts $service (set (get $shifts $service | default dict) $role $own) }}
{{- end }}
{{- end }}
{{- /* The address of Kubernetes' API is not known here: any address, on the ports it answers on. */}}
{{- $egress := append (include "uplift.egressToDns" . | fromYamlArray) (dict
  "to" (list (dict "ipBlock" (dict "cidr" "0.0.0.0/0")) (dict "ipBlock" (dict "cidr" "::/0")))
  "ports" (list (dict "protocol" "TCP" "port" 443) (dict "protocol" "TCP" "port" 6443))) }}
{{- $pod := dict
  "name" $name
  "labels" $labels
  "selector" (include "uplift.selector" $scope | fromYaml)
  "image" (include "uplift.image" (dict "root" . "name" "all-in-one"))
  "pullSecret" .Values.image.pullSecret
  "args" (list "all_in_one.main" "scaling" "apply" "/shifts/shifts.yaml" (printf "--every-minutes=%d" $minutes))
  "cpu" "100m"
  "memory" "128Mi"
  "serviceAccount" $name
  "egress" $egress }}
{{- $basics := include "service.podBasics" $pod | fromYaml }}
{{- $_ := set $basics "automountServiceAccountToken" true }}
{{- $_ := set $basics "volumes" (append $basics.volumes (dict "name" "shifts" "configMap" (dict "name" $name))) }}
{{- $container := include "service.container" $pod | fromYaml }}
{{- $_ := set $container "volumeMounts" (append $container.volumeMounts (dict "name" "shifts" "mountPath" "/shifts" "readOnly" true)) }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ $name }}
  labels: {{- toYaml $labels | nindent 4 }}
data:
  shifts.yaml: {{ dict "release" .Release.Name "services" $shifts | toYaml | quote }}
---
{{ include "service.serviceAccount" $pod }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  labels: {{- toYaml $labels | nindent 4 }}
rules:
  - apiGroups: [autoscaling]
    resources: [horizontalpodautoscalers]
    resourceNames: {{- toYaml (sortAlpha $hpas) | nindent 6 }}
    verbs: [patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  labels: {{- toYaml $labels | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ $name }}}
subjects:
  - {kind: ServiceAccount, name: {{ $name }}, namespace: {{ .Release.Namespace }}}
---
{{ include "service.networkPolicy" $pod }}
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ $name }}
  labels: {{- toYaml $labels | nindent 4 }}
spec:
  schedule: "*/{{ $minutes }} * * * *"
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 240
  successfulJobsHistoryLimit: 1
  failedJobsHistoryLimit: 3
  jobTemplate:
    spec:
      backoffLimit: 2
      activeDeadlineSeconds: 240
      template:
        metadata:
          labels: {{- toYaml $labels | nindent 12 }}
        spec:
          {{- toYaml $basics | nindent 10 }}
          restartPolicy: Never
          containers:
            - {{ toYaml $container | nindent 14 | trim }}
{{- end }}
