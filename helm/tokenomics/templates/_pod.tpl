{{- /* Every pod of the release is made here, those of runs too (instance.yaml): what holds for all cannot be forgotten for one.
Takes root; component; values, its section of the values, whose keys win over `pods`; spec, what only this pod has, as YAML; account, suffix
of its service account; token, whether that is mounted; user, of an image that is not the platform's; annotations; claims, names of a
StatefulSet's claim templates. Gives metadata and spec. */ -}}
{{- define "tokenomics.pod" -}}
{{- $root := .root -}}
{{- $own := fromYaml .spec -}}
{{- if $own.Error -}}{{- fail (printf "the pod of %s is no YAML: %s" .component $own.Error) -}}{{- end -}}
{{- $values := include "tokenomics.podValues" (dict "common" $root.Values.pods "own" .values) | fromJson -}}
{{- $spec := merge (dict
  "serviceAccountName" (include "tokenomics.account" .)
  "automountServiceAccountToken" (.token | default false)
  "enableServiceLinks" false
  "securityContext" (include "tokenomics.podSecurityContext" . | fromYaml)
  "terminationGracePeriodSeconds" $values.terminationGracePeriodSeconds
  "volumes" (concat $own.volumes (include "tokenomics.authorities" $root | fromJson).volumes $values.volumes)
) (omit $own "volumes" "containers" "initContainers") -}}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "priorityClassName" "schedulerName" "runtimeClassName" "hostAliases" "dnsConfig" -}}
{{- with get $values $key -}}{{- $_ := set $spec $key . -}}{{- end -}}
{{- end -}}
{{- with $root.Values.imagePullSecrets -}}{{- $_ := set $spec "imagePullSecrets" . -}}{{- end -}}
{{- /* Yours come first: the migration's own init container may need a side container that leads to the database. */ -}}
{{- $security := include "tokenomics.securityContext" (dict "root" $root "context" $root.Values.securityContext) | fromJson -}}
{{- $init := list -}}
{{- range $values.initContainers -}}{{- $init = append $init (merge (dict) . (dict "securityContext" $security)) -}}{{- end -}}
{{- $common := dict "root" $root "values" $values "own" .values -}}
{{- range $own.initContainers -}}{{- $init = append $init (include "tokenomics.commonContainer" (merge (dict "container" .) $common) | fromJson) -}}{{- end -}}
{{- with $init -}}{{- $_ := set $spec "initContainers" . -}}{{- end -}}
{{- $containers := list -}}
{{- range $own.containers -}}{{- $containers = append $containers (include "tokenomics.commonContainer" (merge (dict "container" .) $common) | fromJson) -}}{{- end -}}
{{- range $probe := list "startupProbe" "readinessProbe" "livenessProbe" -}}
{{- with get $.values $probe -}}
{{- if not (hasKey (first $containers) $probe) -}}{{- fail (printf "%s has no %s whose figures could be changed." $.component $probe) -}}{{- end -}}
{{- $_ := set (first $containers) $probe (merge (dict) . (get (first $containers) $probe)) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $spec "containers" $containers -}}
{{- include "tokenomics.refusePod" (dict "component" .component "spec" $spec "claims" (.claims | default list)) -}}
{{- $metadata := dict "labels" (merge (include "tokenomics.labels" . | fromYaml) $values.labels) -}}
{{- with merge (dict) (.annotations | default dict) $values.annotations -}}{{- $_ := set $metadata "annotations" . -}}{{- end -}}
{{- dict "metadata" $metadata "spec" $spec | toYaml -}}
{{- end -}}

{{- /* The keys of `pods` for one pod, as JSON: mappings are merged, entries with names are added or replaced, of all else the component's is taken. */ -}}
{{- define "tokenomics.podValues" -}}
{{- $own := .own -}}
{{- $identities := dict "env" "name" "volumes" "name" "initContainers" "name" "volumeMounts" "mountPath" -}}
{{- $values := dict -}}
{{- range $key, $common := .common -}}
{{- $value := get $own $key -}}
{{- if not (hasKey $own $key) -}}
{{- $_ := set $values $key $common -}}
{{- else if has $key (list "annotations" "labels" "nodeSelector") -}}
{{- $_ := set $values $key (merge (dict) $value $common) -}}
{{- else if eq $key "envFrom" -}}
{{- $_ := set $values $key (concat $common $value) -}}
{{- else if hasKey $identities $key -}}
{{- $identity := get $identities $key -}}
{{- $names := list -}}
{{- range $value -}}{{- $names = append $names (get . $identity) -}}{{- end -}}
{{- $kept := list -}}
{{- range $common -}}{{- if not (has (get . $identity) $names) -}}{{- $kept = append $kept . -}}{{- end -}}{{- end -}}
{{- $_ := set $values $key (concat $kept $value) -}}
{{- else -}}
{{- $_ := set $values $key $value -}}
{{- end -}}
{{- end -}}
{{- toJson $values -}}
{{- end -}}

{{- /* What each container of the chart has, beside what is its own, as JSON: root, values of the pod, own values of its section, container. */ -}}
{{- define "tokenomics.commonContainer" -}}
{{- $authorities := include "tokenomics.authorities" .root | fromJson -}}
{{- $more := include "tokenomics.moreEnv" . | fromJson -}}
{{- $env := concat .container.env $authorities.env (include "tokenomics.proxyEnv" .root | fromJsonArray) $more.env -}}
{{- $names := list -}}
{{- range $env -}}
{{- if has .name $names -}}{{- fail (printf "%s is set by the chart in each pod that needs it: the env of pods, or of a component, cannot set it to something else there." .name) -}}{{- end -}}
{{- $names = append $names .name -}}
{{- end -}}
{{- $common := dict "env" $env "securityContext" (include "tokenomics.securityContext" (dict "root" .root "context" .root.Values.securityContext) | fromJson) -}}
{{- with concat (.container.volumeMounts | default list) $authorities.volumeMounts .values.volumeMounts -}}{{- $_ := set $common "volumeMounts" . -}}{{- end -}}
{{- with $more.envFrom -}}{{- $_ := set $common "envFrom" . -}}{{- end -}}
{{- merge (dict) $common .container | toJson -}}
{{- end -}}

{{- /* Your env and envFrom for a container, as JSON; takes what commonContainer takes. What lets others in is told who may by its environment, too:
so the proxy gets only what a program needs to find the internet, PostgreSQL and Redis only what is said for them. */ -}}
{{- define "tokenomics.moreEnv" -}}
{{- $name := .container.name -}}
{{- $found := list -}}
{{- range .values.env -}}
{{- if hasPrefix "OAUTH2_PROXY_" (upper .name) -}}
{{- fail (printf "%s cannot be set in the env of pods, or of a component: it could let somebody in to the webserver, where whoever comes can trade. Set the value of `oauth2Proxy` that says it, or an argument in oauth2Proxy.extraArgs." .name) -}}
{{- end -}}
{{- if and (eq $name "postgresql") (eq .name "POSTGRES_HOST_AUTH_METHOD") -}}
{{- fail "POSTGRES_HOST_AUTH_METHOD cannot be set in postgresql.env: it could let somebody in to the databases without a password. Leave it out; the server asks for that of its Secret." -}}
{{- end -}}
{{- if has (upper .name) (list "HTTP_PROXY" "HTTPS_PROXY" "NO_PROXY" "SSL_CERT_FILE" "SSL_CERT_DIR") -}}{{- $found = append $found . -}}{{- end -}}
{{- end -}}
{{- if eq $name "oauth2-proxy" -}}
{{- dict "env" $found | toJson -}}
{{- else if has $name (list "postgresql" "redis") -}}
{{- dict "env" (get .own "env" | default list) "envFrom" (get .own "envFrom") | toJson -}}
{{- else -}}
{{- pick .values "env" "envFrom" | toJson -}}
{{- end -}}
{{- end -}}

{{- /* Private authorities of PostgreSQL and Redis, in every pod, as JSON: certificates are no secret. libpq looks for its own in PGSSLROOTCERT. */ -}}
{{- define "tokenomics.authorities" -}}
{{- $found := dict "env" (list) "volumes" (list) "volumeMounts" (list) -}}
{{- range $server := list "postgresql" "redis" -}}
{{- with (get $.Values $server).tls.caSecret -}}
{{- $name := printf "ca-%s" $server -}}
{{- $folder := printf "/etc/tokenomics/tls/%s" $server -}}
{{- $_ := set $found "volumes" (append $found.volumes (dict "name" $name "secret" (dict "secretName" . "items" (list (dict "key" "ca.crt" "path" "ca.crt"))))) -}}
{{- $_ := set $found "volumeMounts" (append $found.volumeMounts (dict "name" $name "mountPath" $folder "readOnly" true)) -}}
{{- if eq $server "postgresql" -}}{{- $_ := set $found "env" (list (dict "name" "PGSSLROOTCERT" "value" (printf "%s/ca.crt" $folder))) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- /* Variables of the proxy, in both spellings: gRPC knows the small one only. What is inside of the cluster is not asked of the proxy: the code
server, whose gRPC would go there, and the API server, whose address the kubelet puts in. As JSON. */ -}}
{{- define "tokenomics.proxyEnv" -}}
{{- $proxy := .Values.proxy -}}
{{- $env := list -}}
{{- if or $proxy.httpProxy $proxy.httpsProxy -}}
{{- $inside := list "localhost" "127.0.0.1" "::1" "$(KUBERNETES_SERVICE_HOST)" "kubernetes.default" ".svc" ".cluster.local" -}}
{{- range $component := list "code-server" "postgresql" "redis" -}}{{- $inside = append $inside (printf "%s-%s" (include "tokenomics.fullname" $) $component) -}}{{- end -}}
{{- range $name, $value := dict "HTTP_PROXY" $proxy.httpProxy "HTTPS_PROXY" $proxy.httpsProxy "NO_PROXY" (concat $inside $proxy.noProxy | join ",") -}}
{{- if $value -}}{{- $env = concat $env (list (dict "name" $name "value" $value) (dict "name" (lower $name) "value" $value)) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $env -}}
{{- end -}}

{{- /* Service account of a pod: the one named for it, or for all, else the chart's. */ -}}
{{- define "tokenomics.account" -}}
{{- get .values "serviceAccountName" | default .root.Values.pods.serviceAccountName | default (printf "%s-%s" (include "tokenomics.fullname" .root) .account) -}}
{{- end -}}

{{- /* The official images of PostgreSQL and Redis have a user of their own. */ -}}
{{- define "tokenomics.podSecurityContext" -}}
{{- $context := deepCopy .root.Values.podSecurityContext -}}
{{- range $id := list "runAsUser" "runAsGroup" "fsGroup" -}}
{{- if and $.user (hasKey $context $id) -}}{{- $_ := set $context $id $.user -}}{{- end -}}
{{- end -}}
{{- include "tokenomics.securityContext" (dict "root" .root "context" $context) -}}
{{- end -}}

{{- /* A context of a pod or a container, as JSON. OpenShift gives each namespace ids of its own, and refuses others. */ -}}
{{- define "tokenomics.securityContext" -}}
{{- ternary (omit .context "runAsUser" "runAsGroup" "fsGroup") .context .root.Values.openshift | toJson -}}
{{- end -}}

{{- /* What restarts a pod of the image: a changed configuration, or secrets in the values. */ -}}
{{- define "tokenomics.checksums" -}}
checksum/instance: {{ include "tokenomics.instance" (dict "root" . "launcher" true) | sha256sum }}
checksum/secrets: {{ toJson (list .Values.secrets .Values.postgresql.postgresqlPassword) | sha256sum }}
{{- end -}}

{{- /* How the pods of a Deployment are replaced. What was said for RollingUpdate, or filled in by Kubernetes, would be refused beside Recreate. */ -}}
{{- define "tokenomics.strategy" -}}
{{- ternary (set (deepCopy .) "rollingUpdate" nil) . (eq .type "Recreate") | toYaml -}}
{{- end -}}
