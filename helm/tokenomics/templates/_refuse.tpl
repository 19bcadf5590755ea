{{- /* What no schema can say in a sentence: combinations that would not work, or would not be safe. */ -}}
{{- define "tokenomics.refuse" -}}
{{- $v := .Values -}}
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
{{- if and $v.postgresql.enabled $v.postgresql.postgresqlHost -}}
{{- fail "postgresql.postgresqlHost is set, but postgresql.enabled is true and would start a server of its own: set it to false." -}}
{{- end -}}
{{- if $v.generatePostgresqlPasswordSecret -}}
{{- if $v.global.postgresqlSecretName -}}{{- fail "global.postgresqlSecretName names an existing Secret: set generatePostgresqlPasswordSecret to false." -}}{{- end -}}
{{- if and (not $v.postgresql.enabled) (not $v.postgresql.postgresqlPassword) -}}{{- fail "The external PostgreSQL needs its password: global.postgresqlSecretName (with generatePostgresqlPasswordSecret: false), or postgresql.postgresqlPassword." -}}{{- end -}}
{{- else -}}
{{- if not $v.global.postgresqlSecretName -}}{{- fail "generatePostgresqlPasswordSecret is false, so global.postgresqlSecretName must name the Secret with postgresql-password." -}}{{- end -}}
{{- if $v.postgresql.postgresqlPassword -}}{{- fail "postgresql.postgresqlPassword would be ignored: the password is in the Secret global.postgresqlSecretName." -}}{{- end -}}
{{- end -}}
{{- $paper := dig "trading" "paper" true $v.settings -}}
{{- if and (not $paper) (not $v.env.TOKENOMICS_LIVE_ACCOUNT) -}}
{{- fail "settings.trading.paper is false: env.TOKENOMICS_LIVE_ACCOUNT must be the number of the account that may trade real money." -}}
{{- end -}}
{{- end -}}
