{{/* What a schema cannot know: names that come from the code. Each failure is one sentence with the path. */}}
{{- define "uplift.checks" -}}
{{- $facts := include "uplift.facts" . | fromYaml }}
{{- $known := keys $facts.services | sortAlpha }}
{{- range $path := list "services" "scaling" }}
{{- range $name := keys (get $.Values $path) }}
{{- if not (has $name $known) }}
{{- fail (printf "%s.%s: there is no such service; there are %s." $path $name (join ", " $known)) }}
{{- end }}
{{- end }}
{{- end }}
{{- include "uplift.checkNames" (dict "path" "settings" "names" (keys .Values.settings) "known" $facts.platform.settings "secrets" $facts.platform.secrets) }}
{{- range $name, $own := .Values.services }}
{{- $of := get $facts.services $name }}
{{- $settings := concat $of.settings $facts.platform.settings }}
{{- include "uplift.checkNames" (dict "path" (printf "services.%s.settings" $name) "names" (keys ($own.settings | default dict)) "known" $settings "secrets" $of.secrets) }}
{{- include "uplift.checkNames" (dict "path" (printf "services.%s.secrets" $name) "names" ($own.secrets | default list) "known" $of.secrets "secrets" list) }}
{{- end }}
{{- if not (urlParse .Values.publicUrl).host }}
{{- fail "publicUrl: write a URL with a scheme, as in https://uplift.example.org." }}
{{- end }}
{{- end }}

{{- define "uplift.checkNames" -}}
{{- range .names }}
{{- if has . $.secrets }}
{{- fail (printf "%s.%s: this is a secret; put it into the Secret and, for a service's own, its name into services.<service>.secrets." $.path .) }}
{{- else if not (has . $.known) }}
{{- fail (printf "%s.%s: there is no such variable; there are %s." $.path . (join ", " $.known | default "none")) }}
{{- end }}
{{- end }}
{{- end }}
