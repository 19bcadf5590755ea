# One image for webserver, daemon, code server, runs and the `tokenomics` command; the deployment chooses the command.
# Every package comes as a wheel with the hash in requirements.lock, so that no stage needs a compiler and arm64 is built
# like amd64.

# Another base is a build argument; the pinned one is a FROM line because Dependabot renews digests only there.
ARG BASE_IMAGE=pinned
FROM docker.io/library/python:3.12-slim@sha256:229a2c5bfa27522db7815ea81f9bed70af17ccb9de9fc7ad142b1877b5830d36 AS pinned

FROM ${BASE_IMAGE} AS build
WORKDIR /build
# pip stays outside the environment that is shipped.
RUN python3 -m venv /build/pip && python3 -m venv --without-pip /opt/venv
COPY requirements.lock ./
RUN /build/pip/bin/pip --python /opt/venv/bin/python3 install --no-cache-dir --disable-pip-version-check --quiet \
    --only-binary :all: --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY tokenomics_dagster tokenomics_dagster
# What is no module came by accident, by a name that .dockerignore cannot tell. hatchling is in the lock to build this
# wheel. The tests of other projects are a tenth of the size.
RUN find tokenomics_dagster -type f ! -name '*.py' -delete \
    && /build/pip/bin/pip --python /opt/venv/bin/python3 install --no-cache-dir --disable-pip-version-check --quiet \
    --no-deps --no-build-isolation . \
    && /build/pip/bin/pip --python /opt/venv/bin/python3 uninstall --quiet --yes hatchling editables \
    && find /opt/venv/lib -type d -name tests -prune -exec rm -rf {} +
COPY dagster.yaml docker/dagster.storage.yaml ./
RUN mkdir -p /build/home/storage && cat dagster.yaml dagster.storage.yaml > /build/home/dagster.yaml

FROM ${BASE_IMAGE}
ARG VERSION=0
ARG REVISION=unknown
# Where this commit can be read, for the UI's links to the code: https://github.com/OWNER/NAME/blob/COMMIT
ARG CODE_URL=
LABEL org.opencontainers.image.title="tokenomics" \
      org.opencontainers.image.description="Dagster platform that picks US stocks and keeps a brokerage account on target" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Nothing can be installed in a running container, and what scanners report of pip and its copies is gone.
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
    /usr/share/python-wheels /usr/lib/python3*/ensurepip \
    && groupadd --gid 10001 tokenomics \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin tokenomics
COPY --from=build /opt/venv /opt/venv
# Only the folder of compute logs belongs to the user: what else the image holds cannot be changed from within.
COPY --from=build /build/home/dagster.yaml /opt/dagster/home/dagster.yaml
COPY --from=build --chown=10001:10001 /build/home/storage /opt/dagster/home/storage
WORKDIR /app
COPY config/settings.yaml config/settings.yaml
COPY docker/healthcheck.py docker/workspace.yaml ./
# HOME and matplotlib's cache in /tmp: the root file system may be read-only. The OpenSSL inside psycopg2's wheel looks for
# authorities where it was built, so sslrootcert=system would find none. DL3064 takes TOKENOMICS_ for a token.
# hadolint ignore=DL3064
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    DAGSTER_HOME=/opt/dagster/home \
    TOKENOMICS_CODE_URL=${CODE_URL}
USER 10001:10001
# 60 s: the daemon's check imports Dagster, 3 s of CPU. Kubernetes has probes of its own and does not read this.
HEALTHCHECK --interval=60s --timeout=30s --start-period=120s --retries=3 CMD ["python3", "/app/healthcheck.py"]
CMD ["tokenomics", "--help"]
