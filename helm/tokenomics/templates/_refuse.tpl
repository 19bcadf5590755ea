{{- /* What no schema can say in a sentence: combinations that would not work, or would not be safe. */ -}}
{{- define "tokenomics.refuse" -}}
{{- $v := .Values -}}
{{- if and $v.image.tag $v.image.digest -}}
{{- fail (printf "image.tag %s would be ignored: image.digest names one build. Leave the tag empty, or set the digest, which a released chart has, to \"\"." $v.image.tag) -}}
{{- end -}}
{{- $proxy := $v.oauth2Proxy -}}
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
{{- $instance := include "tokenomics.dagsterYaml" . | fromYaml -}}
{{- if ne (dig "concurrency" "pools" "default_limit" 0 $instance | int) 1 -}}
{{- fail "additionalInstanceConfig.concurrency.pools.default_limit must be 1: two runs that ask one provider at once pass its rate limit, and two that trade one account could both order." -}}
{{- end -}}
{{- if not (dig "run_monitoring" "enabled" false $instance) -}}
{{- fail "additionalInstanceConfig.run_monitoring.enabled must be true: a run whose pod is gone would be under way for ever, and nothing would trade after it." -}}
{{- end -}}
{{- range $key := list "start_timeout_seconds" "free_slots_after_run_end_seconds" -}}
{{- if lt (dig "run_monitoring" $key 0 $instance | int) 1 -}}
{{- fail (printf "additionalInstanceConfig.run_monitoring.%s must be at least 1: without it a run that never started, or that was killed, holds its place for ever." $key) -}}
{{- end -}}
{{- end -}}
{{- if dig "run_monitoring" "max_resume_run_attempts" 0 $instance | int -}}
{{- fail "additionalInstanceConfig.run_monitoring.max_resume_run_attempts must be 0: a second pod would go on with a rebalance while the first, on a node that is out of reach, may still send orders." -}}
{{- end -}}
{{- $logs := .Values.computeLogManager -}}
{{- $needs := dict "NoOpComputeLogManager" (list) "LocalComputeLogManager" (list "base_dir") "S3ComputeLogManager" (list "bucket")
  "GCSComputeLogManager" (list "bucket") "AzureBlobComputeLogManager" (list "storage_account" "container") -}}
{{- range $key := get $needs $logs.type -}}
{{- if not (get $logs.config $key) -}}{{- fail (printf "computeLogManager.config.%s is empty: %s needs it." $key $logs.type) -}}{{- end -}}
{{- end -}}
{{- if and $logs.config (eq $logs.type "NoOpComputeLogManager") -}}{{- fail "computeLogManager.config would be ignored: NoOpComputeLogManager keeps no logs." -}}{{- end -}}
{{- if or (kindIs "string" (get $logs.config "access_key_or_sas_token" | default (dict))) (kindIs "string" (dig "secret_credential" "client_secret" (dict) $logs.config)) -}}
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
