{{/* Labels of every object. Only the name selects pods: selectors never change. */}}
{{- define "drain-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: drain-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: drain-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "drain-operator.selector" -}}
app.kubernetes.io/name: drain-operator
{{- end }}

{{/* An image's name: list of the root and the image's values. */}}
{{- define "drain-operator.repository" -}}
{{- $root := index . 0 }}{{ $image := index . 1 -}}
{{- with $root.Values.global.imageRegistry | default $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- end }}

{{- define "drain-operator.image" -}}
{{- include "drain-operator.repository" (list . .Values.image) -}}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "drain-operator.agentImage" -}}
{{- include "drain-operator.repository" (list . .Values.agent.image) }}@{{ required "agent.image.digest is required: sha256:<64 hex digits>, of the drain-agent image that your nodes can pull" .Values.agent.image.digest }}
{{- end }}

{{/* The seconds of a duration such as 1h30m, as a number with decimals. */}}
{{- define "drain-operator.seconds" -}}
{{- $seconds := 0.0 -}}
{{- $units := dict "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001 -}}
{{- range regexFindAll "[0-9.]+(ms|h|m|s)" . -1 -}}
{{- $seconds = addf $seconds (mulf (float64 (regexFind "[0-9.]+" .)) (get $units (regexFind "[a-z]+" .))) -}}
{{- end -}}
{{- $seconds -}}
{{- end }}

{{/* What the schema cannot say, and the operator would refuse at its start. */}}
{{- define "drain-operator.validate" -}}
{{- $period := include "drain-operator.seconds" .Values.latency.period | float64 -}}
{{- if or (lt $period 1.0) (gt $period 600.0) }}{{ fail (printf "latency.period must be from 1s to 10m, not %s" .Values.latency.period) }}{{ end -}}
{{- $wait := include "drain-operator.seconds" .Values.nodeRemovalWait | float64 -}}
{{- if and (gt $wait 0.0) (lt $wait 1.0) }}{{ fail (printf "nodeRemovalWait must be 0s or at least 1s, not %s" .Values.nodeRemovalWait) }}{{ end -}}
{{- $overlap := include "drain-operator.seconds" .Values.certificate.overlap | float64 -}}
{{- $validity := include "drain-operator.seconds" .Values.certificate.validity | float64 -}}
{{- if or (lt $overlap 1.0) (gt (mulf $overlap 10.0) $validity) }}{{ fail (printf "certificate.overlap must be at least 1s and at most a tenth of certificate.validity (%s), not %s" .Values.certificate.validity .Values.certificate.overlap) }}{{ end -}}
{{- if and .Values.certManager.enabled (lt $validity 3600.0) }}{{ fail (printf "certificate.validity must be at least 1h with cert-manager, not %s" .Values.certificate.validity) }}{{ end -}}
{{- range .Values.spotNotices -}}
{{- $notice := include "drain-operator.seconds" (splitList ":" . | last) | float64 -}}
{{- if or (lt $notice 1.0) (gt $notice 86400.0) }}{{ fail (printf "spotNotices: the notice must be from 1s to 24h, not %s" .) }}{{ end -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.leaderElect) }}{{ fail "leaderElect must be true with more than one replica" }}{{ end -}}
{{- if and .Values.latency.existingSecret (or .Values.latency.sources .Values.latency.files) }}{{ fail "latency: either existingSecret or sources and files" }}{{ end -}}
{{- if and .Values.latency.files (not .Values.latency.sources) }}{{ fail "latency.files without latency.sources are read by nobody" }}{{ end -}}
{{- if and .Values.latency.projected (not (or .Values.latency.sources .Values.latency.existingSecret)) }}{{ fail "latency.projected without latency.sources is read by nobody" }}{{ end -}}
{{- if hasKey .Values.latency.files "sources.yaml" }}{{ fail "latency.files: sources.yaml is made from latency.sources" }}{{ end -}}
{{- if ne (empty .Values.metrics.reader.serviceAccount) (empty .Values.metrics.reader.namespace) }}{{ fail "metrics.reader: serviceAccount and namespace go together" }}{{ end -}}
{{- $ports := list (int .Values.webhook.port) (int .Values.metrics.port) (int .Values.health.port) -}}
{{- if ne (len ($ports | uniq)) 3 }}{{ fail "webhook.port, metrics.port and health.port must differ" }}{{ end -}}
{{- end }}

{{/* The Secret with the latency sources, empty when there are none. */}}
{{- define "drain-operator.latencySecret" -}}
{{- if .Values.latency.existingSecret }}{{ .Values.latency.existingSecret }}{{ else if .Values.latency.sources }}drain-operator-latency-sources{{ end }}
{{- end }}

{{- define "drain-operator.args" -}}
- --agent-image={{ include "drain-operator.agentImage" . }}
- --agent-delivery={{ .Values.agent.delivery }}
- --avoid-emptydir={{ .Values.agent.avoidEmptyDir }}
{{- with .Values.excludedNamespaces }}
- --excluded-namespaces={{ join "," . }}
{{- end }}
- --webhook-port={{ int .Values.webhook.port }}
- --cert-source={{ ternary "Secret" "Own" .Values.certManager.enabled }}
- --cert-validity={{ .Values.certificate.validity }}
- --cert-overlap={{ .Values.certificate.overlap }}
- --health-probe-address=:{{ int .Values.health.port }}
- --metrics-address=:{{ int .Values.metrics.port }}
- --leader-elect={{ .Values.leaderElect }}
{{- if include "drain-operator.latencySecret" . }}
- --latency-sources=/etc/drain-operator/latency-sources/sources.yaml
{{- end }}
- --latency-period={{ .Values.latency.period }}
- --node-removal-wait={{ .Values.nodeRemovalWait }}
- {{ printf "--spot-notices=%s" (join "," .Values.spotNotices) | quote }}
- --zap-log-level={{ .Values.log.level }}
- --zap-encoder={{ .Values.log.encoder }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/*
Documents of a generated file, as they are but for labels, annotations and the
namespace: a dict with root, file, and annotations if any. config/ has the same file.
*/}}
{{- define "drain-operator.generated" -}}
{{- $root := .root -}}
{{- $annotations := .annotations -}}
{{- range regexSplit "(?m)^---$" ($root.Files.Get .file | replace "drain-operator-system" $root.Release.Namespace) -1 }}
{{- $object := fromYaml . }}
{{- if $object }}
{{- $labels := merge (fromYaml (include "drain-operator.labels" $root)) ($object.metadata.labels | default dict) }}
{{- $_ := set $object.metadata "labels" $labels }}
{{- if and $root.Values.certManager.enabled (eq $object.kind "Role") }}
{{- $_ := set $object "rules" (include "drain-operator.readsSecrets" $object.rules | fromYamlArray) }}
{{- end }}
{{- with $annotations }}
{{- $_ := set $object.metadata "annotations" (merge . ($object.metadata.annotations | default dict)) }}
{{- end }}
---
{{ toYaml $object }}
{{- end }}
{{- end }}
{{- end }}

{{/* Rules without those rights to write Secrets that nobody needs when cert-manager does. */}}
{{- define "drain-operator.readsSecrets" -}}
{{- $kept := list -}}
{{- range . -}}
{{- $verbs := .verbs -}}
{{- if has "secrets" .resources -}}
{{- $verbs = without .verbs "create" "update" -}}
{{- end -}}
{{- if $verbs -}}
{{- $kept = append $kept (merge (dict "verbs" $verbs) (omit . "verbs")) -}}
{{- end -}}
{{- end -}}
{{- toYaml $kept -}}
{{- end }}
