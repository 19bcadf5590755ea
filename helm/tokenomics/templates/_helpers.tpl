{{- define "tokenomics.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else -}}
{{- $whole := include "tokenomics.wholeName" . -}}
{{- $cut := printf "%s-%s" ($whole | replace "." "-" | trunc 33 | trimSuffix "-") (sha256sum $whole | trunc 6) -}}
{{- ternary $cut ($whole | replace "." "-") (gt (len $whole) 40) -}}
{{- end -}}
{{- end -}}

{{- define "tokenomics.wholeName" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- end -}}

{{- /* A value within a text. Numbers of a values file are floats, and Go would write 1e+06. */ -}}
{{- define "tokenomics.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{- /* Never a version in here: selectors of a Deployment and volume claims of a StatefulSet cannot be changed by an upgrade. */ -}}
{{- define "tokenomics.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "tokenomics.labels" -}}
{{ include "tokenomics.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: tokenomics
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* Metadata of an object: root, component, name where it is not the component's, annotations, exceptions (checks of checkov that it does not
pass, and why). */ -}}
{{- define "tokenomics.metadata" -}}
{{- $why := dict
  "CKV_K8S_9" "no service leads to it: nothing waits for it to be ready"
  "CKV_K8S_15" "tags name one version and image.digest one build: pulling at each start adds a way to fail"
  "CKV_K8S_35" "Dagster, libpq and the clients of the brokers read their secrets from the environment"
  "CKV_K8S_38" "it asks the Kubernetes API for the jobs of runs"
  "CKV_K8S_40" "999 is the user of the official image"
  "CKV_K8S_43" "image.digest pins your build; servers for trying out and the proxy have the tag of one version"
-}}
{{- $annotations := deepCopy (.annotations | default dict) -}}
{{- range $number, $check := .exceptions -}}
{{- $_ := set $annotations (printf "checkov.io/skip%d" (add1 $number)) (printf "%s=%s" $check (get $why $check)) -}}
{{- end -}}
name: {{ include "tokenomics.fullname" .root }}-{{ .name | default .component }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "tokenomics.labels" . | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "tokenomics.image" -}}
{{- include "tokenomics.imageOf" (dict "root" . "image" (merge (dict "tag" (.Values.image.tag | default .Chart.AppVersion)) .Values.image)) -}}
{{- end -}}

{{- /* Reference of an image: root, image (repository, tag, digest). global.imageRegistry takes the place of the registry that is named, if one is. */ -}}
{{- define "tokenomics.imageOf" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.global.imageRegistry -}}
{{- $repository = printf "%s/%s" . (regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $repository "") -}}
{{- end -}}
{{- if .image.digest -}}{{ $repository }}@{{ .image.digest }}{{- else -}}{{ $repository }}:{{ .image.tag }}{{- end -}}
{{- end -}}

{{- /* Where a server listens that all may reach. gRPC takes 0.0.0.0 for both families by itself. */ -}}
{{- define "tokenomics.anyAddress" -}}
{{- ternary "::" "0.0.0.0" .Values.ipv6 -}}
{{- end -}}

{{- define "tokenomics.secretName" -}}
{{- .Values.secrets.existingSecret | default (printf "%s-secrets" (include "tokenomics.fullname" .)) -}}
{{- end -}}

{{- define "tokenomics.postgresqlSecretName" -}}
{{- .Values.global.postgresqlSecretName | default (printf "%s-postgresql" (include "tokenomics.fullname" .)) -}}
{{- end -}}

{{- define "tokenomics.postgresqlHost" -}}
{{- ternary (printf "%s-postgresql" (include "tokenomics.fullname" .)) .Values.postgresql.postgresqlHost .Values.postgresql.enabled -}}
{{- end -}}

{{- /* A value of a Secret of this chart: the given one, else the one that the cluster has, else a random one. */ -}}
{{- define "tokenomics.password" -}}
{{- if .given -}}
{{ .given }}
{{- else -}}
{{- $kept := dig "data" .key "" (lookup "v1" "Secret" .root.Release.Namespace .secret | default dict) -}}
{{- if $kept }}{{ $kept | b64dec }}{{ else }}{{ randAlphaNum 32 }}{{ end -}}
{{- end -}}
{{- end -}}

{{- /* What every process needs. libpq reads the password from PGPASSWORD: so no address holds one, whatever its characters. */ -}}
{{- define "tokenomics.storageEnv" -}}
- name: PGPASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "tokenomics.postgresqlSecretName" . }}
      key: postgresql-password
{{- end -}}

{{- /* What reads the warehouse needs besides. */ -}}
{{- define "tokenomics.warehouseEnv" -}}
{{ include "tokenomics.storageEnv" . }}
- name: TOKENOMICS_DATABASE_URL
  {{- if .Values.warehouse.urlFromSecret }}
  valueFrom:
    secretKeyRef:
      name: {{ include "tokenomics.secretName" . }}
      key: TOKENOMICS_DATABASE_URL
  {{- else }}
  value: {{ include "tokenomics.warehouseUrl" . | quote }}
  {{- end }}
- name: TOKENOMICS_SETTINGS
  value: {{ .Values.global.dagsterHome }}/settings.yaml
{{- end -}}

{{- /* Of who tells that the daemon is silent: the addresses that are told, and no key of a provider. */ -}}
{{- define "tokenomics.tellingEnv" -}}
{{ include "tokenomics.warehouseEnv" . }}
{{- range $key := list "ALERT_WEBHOOK_URL" "ALERT_URLS" }}
- name: {{ $key }}
  valueFrom:
    secretKeyRef:
      name: {{ include "tokenomics.secretName" $ }}
      key: {{ $key }}
      optional: true
{{- end }}
{{- end -}}

{{- /* Of who serves the metrics, who else would not know that there should be backups. */ -}}
{{- define "tokenomics.metricsEnv" -}}
{{ include "tokenomics.tellingEnv" . }}
{{- if .Values.backup.enabled }}
- name: TOKENOMICS_BACKUP_MAX_AGE_HOURS
  value: {{ include "tokenomics.text" .Values.backup.maxAgeHours | quote }}
{{- end }}
{{- end -}}

{{- /* Every variable that the platform reads, the keys to the broker among them: in the code server and in runs, nowhere else. */ -}}
{{- define "tokenomics.platformEnv" -}}
{{ include "tokenomics.tellingEnv" . }}
{{- $required := list "FINNHUB_API_KEY" "ALPACA_API_KEY" "ALPACA_SECRET_KEY" }}
{{- range $key := concat $required (list "HEALTHCHECK_URL") (ternary (list "REDIS_URL" "REDIS_PASSWORD") (list) .Values.redis.enabled) }}
- name: {{ $key }}
  valueFrom:
    secretKeyRef:
      name: {{ include "tokenomics.secretName" $ }}
      key: {{ $key }}
      {{- /* It alone can say that Redis is spoken to by TLS: without it nothing would be published, or by nobody's leave. */}}
      {{- if not (or (has $key $required) (and (eq $key "REDIS_URL") $.Values.redis.tls.caSecret)) }}
      optional: true
      {{- end }}
{{- end }}
{{- if .Values.redis.enabled }}
- name: REDIS_HOST
  value: {{ ternary (printf "%s-redis" (include "tokenomics.fullname" .)) .Values.redis.host .Values.redis.internal | quote }}
- name: REDIS_PORT
  value: {{ include "tokenomics.text" .Values.redis.port | quote }}
{{- end }}
- name: TOKENOMICS_LAKE
  value: {{ include "tokenomics.lakeFolder" . }}
{{- range $key, $value := .Values.env }}
- name: {{ $key }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "tokenomics.warehouseUrl" -}}
{{- $parameters := list -}}
{{- range $key, $value := .Values.postgresql.postgresqlParams -}}
{{- $parameters = append $parameters (printf "%s=%s" $key (include "tokenomics.text" $value | urlquery | replace "+" "%20")) -}}
{{- end -}}
postgresql+psycopg2://{{ .Values.postgresql.postgresqlUsername }}@{{ include "tokenomics.postgresqlHost" . }}:{{ .Values.postgresql.service.port }}/{{ .Values.warehouse.database }}{{ if $parameters }}?{{ join "&" $parameters }}{{ end }}
{{- end -}}

{{- define "tokenomics.volumes" -}}
- name: instance
  configMap:
    name: {{ include "tokenomics.fullname" .root }}-{{ .configMap | default "instance" }}
- name: home
  emptyDir: {}
- name: tmp
  emptyDir: {}
{{- if .lake }}
- name: lake
  persistentVolumeClaim:
    claimName: {{ .root.Values.lake.persistence.existingClaim | default (printf "%s-lake" (include "tokenomics.fullname" .root)) }}
{{- end }}
{{- if .research }}
- name: research
  persistentVolumeClaim:
    claimName: {{ .research }}
{{- end }}
{{- end -}}

{{- define "tokenomics.lakeMount" -}}
- name: lake
  mountPath: {{ include "tokenomics.lakeFolder" . }}
{{- end -}}

{{- define "tokenomics.researchMount" -}}
- name: research
  mountPath: /var/lib/tokenomics/research
{{- end -}}

{{- define "tokenomics.lakeFolder" -}}
/var/lib/tokenomics/lake
{{- end -}}

{{- /* The root file system is read-only: DAGSTER_HOME and /tmp are all that can be written. */ -}}
{{- define "tokenomics.volumeMounts" -}}
- name: home
  mountPath: {{ .Values.global.dagsterHome }}
{{- range $file := list "dagster.yaml" "settings.yaml" "workspace.yaml" }}
- name: instance
  mountPath: {{ $.Values.global.dagsterHome }}/{{ $file }}
  subPath: {{ $file }}
  readOnly: true
{{- end }}
- name: tmp
  mountPath: /tmp
{{- end -}}

{{- /* Container of the image: root, name, command, env (platform, warehouse or storage), resources, lake, research (a claim). */ -}}
{{- define "tokenomics.container" -}}
name: {{ .name }}
image: {{ include "tokenomics.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- with .command }}
command: {{ toJson . }}
{{- end }}
env:
  - name: DAGSTER_HOME
    value: {{ .root.Values.global.dagsterHome }}
  {{- include (printf "tokenomics.%sEnv" .env) .root | nindent 2 }}
resources:
  {{- toYaml .resources | nindent 2 }}
volumeMounts:
  {{- include "tokenomics.volumeMounts" .root | nindent 2 }}
  {{- if .lake }}
  {{- include "tokenomics.lakeMount" .root | nindent 2 }}
  {{- end }}
  {{- if .research }}
  {{- include "tokenomics.researchMount" .root | nindent 2 }}
  {{- end }}
{{- end -}}
