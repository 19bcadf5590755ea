{{- /* What no schema can say in a sentence: combinations that would not work, or would not be safe. */ -}}
{{- define "tokenomics.refuse" -}}
{{- $v := .Values -}}
{{- range $path := .Files.Get "files/keys.json" | fromJsonArray -}}
{{- $value := $v -}}
{{- range splitList "." $path -}}{{- $value = ternary (get $value .) nil (hasKey $value .) -}}{{- end -}}
{{- if kindIs "invalid" $value -}}
{{- fail (printf "%s is null: helm then takes away what the chart says itself, and puts nothing in its place. Leave it out, or set what you mean, such as {} or [] for nothing, or false." $path) -}}
{{- end -}}
{{- end -}}
{{- if and $v.image.tag $v.image.digest -}}
{{- fail (printf "image.tag %s would be ignored: image.digest names one build. Leave the tag empty, or set the digest, which a released chart has, to \"\"." $v.image.tag) -}}
{{- end -}}
{{- $name := include "tokenomics.fullname" . -}}
{{- if not (regexMatch "^[a-z]" $name) -}}
{{- fail (printf "The objects of this release would be named %s-..., and Kubernetes takes no Service whose name does not begin with a letter: give the release another name, or set fullnameOverride." $name) -}}
{{- end -}}
{{- /* Where it was cut before, without a hash: databases and volumes keep that name. */ -}}
{{- $before := include "tokenomics.wholeName" . | replace "." "-" | trunc 40 | trimSuffix "-" -}}
{{- $kept := lookup "apps/v1" "Deployment" .Release.Namespace (printf "%s-webserver" $before) -}}
{{- if and (not $v.fullnameOverride) (ne $before $name) (eq (dig "metadata" "labels" "app.kubernetes.io/instance" "" $kept) .Release.Name) -}}
{{- fail (printf "The objects of this release are named %s-..., and would be made anew as %s-..., with empty databases and volumes: set fullnameOverride to %s." $before $name $before) -}}
{{- end -}}
{{- $proxy := $v.oauth2Proxy -}}
{{- if and $proxy.enabled (eq (int $v.dagsterWebserver.service.port) 4180) -}}
{{- fail "dagsterWebserver.service.port is 4180, where oauth2-proxy listens in the same pod: the webserver, which listens there too, would not start. Set another one, such as 8080." -}}
{{- end -}}
{{- if and (eq $v.warehouse.database $v.postgresql.postgresqlDatabase) (or $v.postgresql.enabled (not $v.warehouse.urlFromSecret)) -}}
{{- fail (printf "warehouse.database and postgresql.postgresqlDatabase are both %s: Dagster and the warehouse would write their tables, and migrate them, in one database. Give each its own." $v.warehouse.database) -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $proxy.enabled) -}}
{{- fail "ingress.enabled needs oauth2Proxy.enabled: the webserver has no authentication of its own, and whoever reaches it can trade. Without an ingress use `kubectl port-forward`." -}}
{{- end -}}
{{- if and (ne $v.dagsterWebserver.service.type "ClusterIP") (not $proxy.enabled) -}}
{{- fail (printf "dagsterWebserver.service.type %s needs oauth2Proxy.enabled: the webserver has no authentication of its own, and whoever reaches it can trade." $v.dagsterWebserver.service.type) -}}
{{- end -}}
{{- if $proxy.enabled -}}
{{- if not $proxy.existingSecret -}}{{- fail "oauth2Proxy.existingSecret is empty: name the Secret with client-id, client-secret and cookie-secret." -}}{{- end -}}
{{- if not $proxy.emailDomains -}}{{- fail "oauth2Proxy.emailDomains is empty: say whose people may in, such as [example.com]." -}}{{- end -}}
{{- if and (eq $proxy.provider "oidc") (not $proxy.oidcIssuerUrl) -}}{{- fail "oauth2Proxy.oidcIssuerUrl is empty: provider oidc needs it." -}}{{- end -}}
{{- end -}}
{{- if $v.ingress.enabled -}}
{{- if not $v.ingress.dagsterWebserver.host -}}{{- fail "ingress.dagsterWebserver.host is empty: name the host of the UI." -}}{{- end -}}
{{- if and $v.ingress.dagsterWebserver.tls.enabled (not $v.ingress.dagsterWebserver.tls.secretName) -}}{{- fail "ingress.dagsterWebserver.tls.secretName is empty: name the Secret with the certificate." -}}{{- end -}}
{{- end -}}
{{- if $v.secrets.existingSecret -}}
{{- range $key, $value := $v.secrets.values -}}
{{- if $value -}}{{- fail (printf "secrets.existingSecret is set, so secrets.values.%s would be ignored: put it into that Secret, or leave existingSecret empty." $key) -}}{{- end -}}
{{- end -}}
{{- else -}}
{{- if and $v.warehouse.urlFromSecret (not $v.secrets.values.TOKENOMICS_DATABASE_URL) -}}{{- fail "warehouse.urlFromSecret is true, but secrets.values.TOKENOMICS_DATABASE_URL is empty." -}}{{- end -}}
{{- if and $v.secrets.values.TOKENOMICS_DATABASE_URL (not $v.warehouse.urlFromSecret) -}}{{- fail "secrets.values.TOKENOMICS_DATABASE_URL is set, but warehouse.urlFromSecret is false: it would be ignored." -}}{{- end -}}
{{- if and $v.redis.enabled (not $v.redis.internal) (not $v.redis.host) (not $v.secrets.values.REDIS_URL) -}}
{{- fail "redis.enabled without redis.internal needs redis.host or REDIS_URL in the Secret; redis.enabled: false publishes nothing." -}}
{{- end -}}
{{- end -}}
{{- if and $v.redis.enabled $v.redis.internal (or $v.redis.host $v.secrets.values.REDIS_URL) -}}
{{- fail "redis.host or secrets.values.REDIS_URL is set, but redis.internal is true and would start a server of its own: set it to false." -}}
{{- end -}}
{{- if and (not $v.postgresql.enabled) (not $v.postgresql.postgresqlHost) -}}
{{- fail "postgresql.enabled is false, so postgresql.postgresqlHost must name the external server." -}}
{{- end -}}
{{- if and $v.redis.enabled $v.redis.tls.caSecret -}}
{{- if or $v.redis.internal $v.redis.host -}}{{- fail "redis.tls.caSecret needs redis.internal: false, no redis.host, and REDIS_URL in the Secret: rediss://:PASSWORD@HOST:PORT/0?ssl_ca_certs=/etc/tokenomics/tls/redis/ca.crt" -}}{{- end -}}
{{- if and $v.secrets.values.REDIS_URL (not (contains "?ssl_ca_certs=/etc/tokenomics/tls/redis/ca.crt" $v.secrets.values.REDIS_URL)) -}}{{- fail "redis.tls.caSecret would be ignored: REDIS_URL must end with ?ssl_ca_certs=/etc/tokenomics/tls/redis/ca.crt" -}}{{- end -}}
{{- end -}}
{{- if and $v.postgresql.enabled $v.postgresql.postgresqlHost -}}
{{- fail "postgresql.postgresqlHost is set, but postgresql.enabled is true and would start a server of its own: set it to false." -}}
{{- end -}}
{{- with $v.postgresql.tls.caSecret -}}
{{- if $v.postgresql.enabled -}}
{{- if not $v.warehouse.urlFromSecret -}}{{- fail "postgresql.tls.caSecret is of an external server: the one for trying out has no certificate." -}}{{- end -}}
{{- else if not (has (get $v.postgresql.postgresqlParams "sslmode") (list "verify-full" "verify-ca")) -}}
{{- fail "postgresql.tls.caSecret is set, but postgresql.postgresqlParams.sslmode is not verify-full: the name in the certificate, or all of it, would not be looked at." -}}
{{- end -}}
{{- if hasKey $v.postgresql.postgresqlParams "sslrootcert" -}}{{- fail "postgresql.tls.caSecret would be ignored: postgresql.postgresqlParams.sslrootcert names another authority." -}}{{- end -}}
{{- end -}}
{{- if $v.generatePostgresqlPasswordSecret -}}
{{- if $v.global.postgresqlSecretName -}}{{- fail "global.postgresqlSecretName names an existing Secret: set generatePostgresqlPasswordSecret to false." -}}{{- end -}}
{{- if and (not $v.postgresql.enabled) (not $v.postgresql.postgresqlPassword) -}}{{- fail "The external PostgreSQL needs its password: global.postgresqlSecretName (with generatePostgresqlPasswordSecret: false), or postgresql.postgresqlPassword." -}}{{- end -}}
{{- else -}}
{{- if not $v.global.postgresqlSecretName -}}{{- fail "generatePostgresqlPasswordSecret is false, so global.postgresqlSecretName must name the Secret with postgresql-password." -}}{{- end -}}
{{- if $v.postgresql.postgresqlPassword -}}{{- fail "postgresql.postgresqlPassword would be ignored: the password is in the Secret global.postgresqlSecretName." -}}{{- end -}}
{{- end -}}
{{- include "tokenomics.refuseInstance" . -}}
{{- $paper := dig "trading" "paper" true $v.settings -}}
{{- if and (not $paper) (not $v.env.TOKENOMICS_LIVE_ACCOUNT) -}}
{{- fail "settings.trading.paper is false: env.TOKENOMICS_LIVE_ACCOUNT must be the number of the account that may trade real money." -}}
{{- end -}}
{{- end -}}

{{- /* additionalInstanceConfig may change what does not keep runs apart, and what does not lose them. */ -}}
{{- define "tokenomics.refuseInstance" -}}
{{- $storage := "runs are stored in the PostgreSQL of `postgresql`, where the daemon, the webserver and all runs find them" -}}
{{- $elsewhere := dict
  "storage" $storage "run_storage" $storage "event_log_storage" $storage "schedule_storage" $storage
  "run_launcher" "runLauncher says how runs are launched"
  "run_coordinator" "`concurrency` says how runs are queued" "run_queue" "`concurrency` says how runs are queued"
  "compute_logs" "computeLogManager says where logs are kept"
  "instance_class" "the chart is made for Dagster's own" -}}
{{- range $key, $where := $elsewhere -}}
{{- if hasKey $.Values.additionalInstanceConfig $key -}}{{- fail (printf "additionalInstanceConfig.%s cannot be set: %s." $key $where) -}}{{- end -}}
{{- end -}}
{{- if hasKey (get .Values.additionalInstanceConfig "concurrency" | default dict) "default_op_concurrency_limit" -}}
{{- fail "additionalInstanceConfig.concurrency.default_op_concurrency_limit cannot be set: Dagster refuses it beside `pools`, which have their limit from the chart. Leave it out." -}}
{{- end -}}
{{- $instance := include "tokenomics.dagsterYaml" . | fromYaml -}}
{{- /* Of each the path, the least, whether more is refused, whether it may be missing, and why. As JSON a value is compared with its type. */ -}}
{{- range list
  (list "concurrency.pools.default_limit" "1" true false "two runs that ask one provider at once pass its rate limit, and two that trade one account could both order")
  (list "concurrency.pools.granularity" "\"op\"" true false "with another one two sweeps of the same stocks run beside each other")
  (list "concurrency.runs.max_concurrent_runs" "1" false false "with 0 no run is ever launched, and -1 knows no limit, so that runs take what the trading ones need")
  (list "run_monitoring.enabled" "true" true false "a run whose pod is gone would be under way for ever, and nothing would trade after it")
  (list "run_monitoring.start_timeout_seconds" "1" false false "without it a run that never started holds its place for ever")
  (list "run_monitoring.free_slots_after_run_end_seconds" "1" false false "without it a run that was killed holds its place for ever")
  (list "run_monitoring.poll_interval_seconds" "1" false false "runs are looked at once in so many seconds")
  (list "run_monitoring.max_resume_run_attempts" "0" true true "a second pod would go on with a rebalance while the first, on a node that is out of reach, may still send orders")
  (list "run_monitoring.max_runtime_seconds" "86400" false true "a sweep of many stocks takes hours, and one that is always ended trades on old figures; leave it out for no limit but that of the job")
-}}
{{- $path := index . 0 -}}
{{- $value := $instance -}}
{{- range splitList "." $path -}}
{{- if and (kindIs "map" $value) (hasKey $value .) -}}{{- $value = get $value . -}}{{- else -}}{{- $value = dict "missing" true -}}{{- end -}}
{{- end -}}
{{- $missing := eq (toJson $value) (dict "missing" true | toJson) -}}
{{- $right := eq (toJson $value) (index . 1) -}}
{{- if and (not (index . 2)) (regexMatch "^[0-9]+$" (toJson $value)) -}}{{- $right = ge (int64 $value) (index . 1 | int64) -}}{{- end -}}
{{- if not (or $right (and $missing (index . 3))) -}}
{{- fail (printf "additionalInstanceConfig.%s must be %s%s: %s. It is %s." $path (ternary "" "at least " (index . 2)) (index . 1) (index . 4) (ternary "missing" (toJson $value) $missing)) -}}
{{- end -}}
{{- end -}}
{{- with .Values.runLauncher.config.k8sRunLauncher.runK8sConfig.jobSpecConfig.activeDeadlineSeconds -}}
{{- if lt (int64 .) 86400 -}}
{{- fail (printf "runLauncher.config.k8sRunLauncher.runK8sConfig.jobSpecConfig.activeDeadlineSeconds must be at least 86400: a sweep of many stocks takes hours, and one that is always ended trades on old figures. It is %d." (int64 .)) -}}
{{- end -}}
{{- end -}}
{{- $logs := .Values.computeLogManager -}}
{{- $needs := dict "NoOpComputeLogManager" (list) "LocalComputeLogManager" (list "base_dir") "S3ComputeLogManager" (list "bucket")
  "GCSComputeLogManager" (list "bucket") "AzureBlobComputeLogManager" (list "storage_account" "container") -}}
{{- range $key := get $needs $logs.type -}}
{{- if not (get $logs.config $key) -}}{{- fail (printf "computeLogManager.config.%s is empty: %s needs it." $key $logs.type) -}}{{- end -}}
{{- end -}}
{{- if and $logs.config (eq $logs.type "NoOpComputeLogManager") -}}{{- fail "computeLogManager.config would be ignored: NoOpComputeLogManager keeps no logs." -}}{{- end -}}
{{- if or (kindIs "string" (get $logs.config "access_key_or_sas_token" | default (dict))) (kindIs "string" (get (get $logs.config "secret_credential" | default dict) "client_secret" | default dict)) -}}
{{- fail "computeLogManager.config would show a secret in a ConfigMap: write {env: NAME}, and bring NAME into `pods.env` by valueFrom." -}}
{{- end -}}
{{- end -}}

{{- /* What Kubernetes would refuse in a pod, for a run only once it is launched: component, spec, claims. */ -}}
{{- define "tokenomics.refusePod" -}}
{{- $component := .component -}}
{{- $twice := "the chart has one itself, or yours is there twice" -}}
{{- $volumes := .claims -}}
{{- range .spec.volumes -}}
{{- if has .name $volumes -}}
{{- fail (printf "Two volumes of the pod of %s would be named %s, which Kubernetes refuses: %s. Give yours in `volumes` another name." $component .name $twice) -}}
{{- end -}}
{{- $volumes = append $volumes .name -}}
{{- end -}}
{{- $containers := list -}}
{{- range concat (.spec.initContainers | default list) .spec.containers -}}
{{- $container := .name -}}
{{- if has $container $containers -}}
{{- fail (printf "Two containers of the pod of %s would be named %s, which Kubernetes refuses: %s. Give yours in `initContainers` another name." $component $container $twice) -}}
{{- end -}}
{{- $containers = append $containers $container -}}
{{- $paths := list -}}
{{- range .volumeMounts -}}
{{- $path := clean .mountPath -}}
{{- if has $path $paths -}}
{{- fail (printf "Container %s of the pod of %s would have two mounts at %s, which Kubernetes refuses: %s. Give yours in `volumeMounts` another mountPath; where global.dagsterHome is another's folder, set that to one of its own." $container $component $path $twice) -}}
{{- end -}}
{{- $paths = append $paths $path -}}
{{- if not (has .name $volumes) -}}
{{- fail (printf "Container %s of the pod of %s would mount %s at %s, but the pod has no volume of that name: add it to `volumes` where the mount is said (pods, or the same section), or leave the mount out." $container $component .name $path) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
