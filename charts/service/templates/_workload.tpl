{{/*
A workload is a dict:
  name, labels, selector, replicas (absent: an autoscaler's), image, pullSecret, args, env,
  cpu, memory, readyPath, preStopSeconds, graceSeconds, serviceAccount, ingress, egress (NetworkPolicy rules),
  kafkaCaSecret, featureFlags: names of a Secret and a ConfigMap (absent or empty: none)
*/}}

{{- define "service.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  labels: {{- toYaml .labels | nindent 4 }}
spec:
  {{- with .replicas }}
  replicas: {{ . }}
  {{- end }}
  revisionHistoryLimit: 3
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxSurge: 25%, maxUnavailable: 0}
  selector:
    matchLabels: {{- toYaml .selector | nindent 6 }}
  template:
    metadata:
      labels: {{- toYaml .labels | nindent 8 }}
    spec:
      {{- include "service.podBasics" . | nindent 6 }}
      terminationGracePeriodSeconds: {{ .graceSeconds }}
      topologySpreadConstraints:
        {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
        - topologyKey: {{ . }}
          maxSkew: 1
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- toYaml $.selector | nindent 14 }}
          matchLabelKeys: [pod-template-hash]
        {{- end }}
      containers:
        - {{ include "service.container" . | nindent 10 | trim }}
          ports:
            - {name: http, containerPort: 8000}
          # A process that hangs ends itself; a database that is away must restart nothing.
          startupProbe:
            httpGet: {path: /healthz, port: http}
            periodSeconds: 2
            failureThreshold: 60
          livenessProbe:
            httpGet: {path: /healthz, port: http}
            timeoutSeconds: 5
          readinessProbe:
            httpGet: {path: {{ .readyPath }}, port: http}
            periodSeconds: 5
            timeoutSeconds: 4
            failureThreshold: 2
          {{- with .preStopSeconds }}
          lifecycle:
            # Until endpoints and gateway have left this pod.
            preStop: {sleep: {seconds: {{ . }}}}
          {{- end }}
{{- end }}

{{/* What Pod Security "restricted" asks of a pod. */}}
{{- define "service.podBasics" -}}
serviceAccountName: {{ .serviceAccount }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .pullSecret }}
imagePullSecrets: [{name: {{ . }}}]
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 1Gi}
  {{- with .kafkaCaSecret }}
  - name: kafka-ca
    secret: {secretName: {{ . }}, items: [{key: ca.crt, path: ca.crt}]}
  {{- end }}
  {{- with .featureFlags }}
  - name: feature-flags
    configMap: {name: {{ . }}}
  {{- end }}
{{- end }}

{{- define "service.container" -}}
name: uplift
image: {{ .image }}
args: {{- toYaml .args | nindent 2 }}
{{- with .env }}
env: {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  requests: {cpu: {{ .cpu }}, memory: {{ .memory }}}
  limits: {memory: {{ .memory }}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- if .kafkaCaSecret }}
  - {name: kafka-ca, mountPath: /etc/uplift/kafka, readOnly: true}
  {{- end }}
  {{- if .featureFlags }}
  - {name: feature-flags, mountPath: /etc/uplift/feature-flags, readOnly: true}
  {{- end }}
{{- end }}

{{/* `name`, `labels`, `selector`. */}}
{{- define "service.service" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  labels: {{- toYaml .labels | nindent 4 }}
spec:
  selector: {{- toYaml .selector | nindent 4 }}
  ports:
    - {name: http, port: 8000, targetPort: http}
{{- end }}

{{/* `name`, `labels`, `annotations`, `role`: an IAM role for service accounts (IRSA). */}}
{{- define "service.serviceAccount" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ .name }}
  labels: {{- toYaml .labels | nindent 4 }}
  {{- $annotations := .annotations | default dict }}
  {{- with .role }}{{ $annotations = merge (dict "eks.amazonaws.com/role-arn" .) $annotations }}{{ end }}
  {{- with $annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}

{{- define "service.podDisruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  labels: {{- toYaml .labels | nindent 4 }}
spec:
  # Rounded up: one of one to four, so that a single pod at night does not hold a node.
  maxUnavailable: 25%
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- toYaml .selector | nindent 6 }}
{{- end }}

{{- define "service.networkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}
  labels: {{- toYaml .labels | nindent 4 }}
  {{- with .annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  podSelector:
    matchLabels: {{- toYaml .selector | nindent 6 }}
  policyTypes: [Ingress, Egress]
  {{- with .ingress }}
  ingress: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .egress }}
  egress: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* A workload with `annotations` of a hook, `deadlineSeconds` and `idle`: a Job that must succeed; an idle one starts no pod. */}}
{{- define "service.hookJob" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .name }}
  labels: {{- toYaml .labels | nindent 4 }}
  annotations: {{- toYaml .annotations | nindent 4 }}
spec:
  {{- if .idle }}
  completions: 0
  {{- end }}
  backoffLimit: 1
  activeDeadlineSeconds: {{ .deadlineSeconds }}
  template:
    metadata:
      labels: {{- toYaml .labels | nindent 8 }}
    spec:
      {{- include "service.podBasics" . | nindent 6 }}
      restartPolicy: Never
      containers:
        - {{ include "service.container" . | nindent 10 | trim }}
{{- end }}

{{/* Annotations of a hook before an installation or upgrade, of its weight. It stays after it succeeded, with its log, until the
next upgrade. */}}
{{- define "service.hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation
{{- end }}

{{/* Annotations of an object that takes the place of a hook's of the same name after an uninstallation, and goes at once. */}}
{{- define "service.hookRemoval" -}}
helm.sh/hook: post-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
