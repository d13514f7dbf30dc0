{{- define "rag-operator.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{- define "rag-operator.selector" -}}
app.kubernetes.io/name: rag-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "rag-operator.labels" -}}
{{ include "rag-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "rag-operator.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "rag-operator.name" .) -}}
{{- else -}}
{{- required "serviceAccount.name must be set when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "rag-operator.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* Names of what is cluster-wide carry the namespace: a second release elsewhere must not meet the first. */}}
{{- define "rag-operator.cluster-name" -}}
{{ .Release.Namespace }}-{{ include "rag-operator.name" . }}
{{- end }}

{{- define "rag-operator.pod-security" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "rag-operator.container-security" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "rag-operator.environment" -}}
- name: RAG_OPERATOR_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: RAG_OPERATOR_IDENTITY
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- {name: RAG_OPERATOR_LEASE_NAME, value: {{ include "rag-operator.name" . }}}
- {name: RAG_OPERATOR_LOG_LEVEL, value: {{ .Values.logLevel }}}
- {name: RAG_OPERATOR_NAMESPACES, value: {{ join "," .Values.watch.namespaces | quote }}}
{{- range $kind, $image := .Values.dataPlane.images }}
- {name: RAG_OPERATOR_IMAGE_{{ $kind | snakecase | upper }}, value: {{ $image | quote }}}
{{- end }}
- {name: RAG_OPERATOR_IMAGE_PULL_POLICY, value: {{ .Values.dataPlane.pullPolicy }}}
- {name: RAG_OPERATOR_API_SERVER_CIDRS, value: {{ join "," .Values.network.apiServerCIDRs | quote }}}
- {name: RAG_OPERATOR_SCRAPER_NAMESPACES, value: {{ join "," .Values.network.scraperNamespaces | quote }}}
- {name: RAG_OPERATOR_DNS_CIDRS, value: {{ join "," .Values.network.dnsCIDRs | quote }}}
{{- range $name, $value := .Values.settings }}
- {name: RAG_OPERATOR_{{ upper $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end }}
