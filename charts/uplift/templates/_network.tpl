{{/* Rules of NetworkPolicies, as lists. */}}

{{- define "uplift.fromNamespace" -}}
- from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ . }}}}}]
  ports: [{protocol: TCP, port: 8000}]
{{- end }}

{{- define "uplift.egressToDns" -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
      podSelector: {matchLabels: {k8s-app: kube-dns}}
    # NodeLocal DNSCache, where there is one.
    - ipBlock: {cidr: 169.254.20.10/32}
  ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
{{- end }}

{{- define "uplift.egressToPlatform" -}}
{{ include "uplift.egressToDns" . }}
{{- range $name, $peer := .Values.peers }}
- to: {{- toYaml $peer.to | nindent 4 }}
  ports: [{protocol: TCP, port: {{ $peer.port }}}]
{{- end }}
- to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .Values.keycloak.namespace }}}}}]
  ports: [{protocol: TCP, port: {{ .Values.keycloak.port }}}]
{{- end }}

{{/* Everything but private, link-local and shared ranges: neither this cluster nor a cloud's metadata. */}}
{{- define "uplift.egressToInternet" -}}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: [0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16, 198.18.0.0/15]
    - ipBlock:
        cidr: "::/0"
        except: ["::1/128", "64:ff9b::/96", "fc00::/7", "fe80::/10"]
  ports:
    {{- range . }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}

{{- define "uplift.apiPods" -}}
podSelector:
  matchLabels:
    app.kubernetes.io/instance: {{ .Release.Name }}
    app.kubernetes.io/component: api
{{- end }}
