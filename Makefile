# Everything runs from .venv, made from requirements-dev.lock by the first command that needs it.
PYTHON ?= python3
BIN := .venv/bin
DEMO := .tokenomics/demo
PORT ?= 3000
# Set on some machines: then each of the many processes of a test run would compile everything anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test ui bench evidence docs screenshots lint lock soak policy image-test

demo: .venv/ready
	$(BIN)/tokenomics demo

test: .venv/ready
	$(BIN)/pytest

soak: .venv/ready
	$(BIN)/pytest -m "soak or hypothesis" --hypothesis-profile=soak -n 2 -p tokenomics_dagster_tests.soak

# Inside the demo's folder, because dagster loads ./.env over its environment, and real keys there would trade for real.
# What the demo does not use is emptied for the same reason. The links that it shows lead to this port.
ui: .venv/ready $(DEMO)/sandbox.json
	@umask 077; cd $(DEMO) && sed 's|^  ui_url: .*|  ui_url: http://127.0.0.1:$(PORT)|' settings.yaml > settings.ui && mv settings.ui settings.yaml
	cd $(DEMO) && REDIS_URL= REDIS_HOST= TOKENOMICS_LIVE_ACCOUNT= ALERT_WEBHOOK_URL= ALERT_URLS= HEALTHCHECK_URL= \
	TOKENOMICS_CODE_URL= TOKENOMICS_LOGS= \
	DAGSTER_HOME="$(CURDIR)/$(DEMO)/dagster" TOKENOMICS_SETTINGS="$(CURDIR)/$(DEMO)/settings.yaml" \
	TOKENOMICS_DATABASE_URL="sqlite:///$(CURDIR)/$(DEMO)/warehouse.db" TOKENOMICS_LAKE="$(CURDIR)/$(DEMO)/lake" \
	"$(CURDIR)/$(BIN)/tokenomics" sandbox --port 0 --state sandbox.json -- \
	"$(CURDIR)/$(BIN)/dagster" dev -w "$(CURDIR)/workspace.yaml" -p $(PORT)

$(DEMO)/sandbox.json: | .venv/ready
	$(BIN)/tokenomics demo

# Builds the image with buildah (Debian's packages buildah and debootstrap, as root) and runs a week on it.
image-test: .venv/ready
	$(BIN)/pytest -n 0 -s tokenomics_dagster_tests/image/built_image.py

bench: .venv/ready .venv/peers/ready
	$(BIN)/python -m tokenomics_dagster_tests.bench

# Writes the figures of docs/evidence.md, from the recorded history in ../shared/data; some minutes.
evidence: .venv/ready
	$(BIN)/python -m tokenomics_dagster_tests.evidence

# What is made from the code, then the site: .tokenomics/docs/site/index.html, with every link looked at.
docs: .venv/ready .venv/docs/ready
	$(BIN)/python -m tokenomics_dagster_tests.documents
	$(BIN)/python -m tokenomics_dagster_tests.documents.site

# The pictures of README and docs that a browser draws, anew, after a demo; needs Debian's package chromium.
screenshots: .venv/ready .venv/pictures/ready $(DEMO)/sandbox.json
	.venv/pictures/bin/python tokenomics_dagster_tests/documents/screenshots.py

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# The lock files hold versions and hashes for Python 3.11 to 3.14 and no addresses; needs uv (`pip install uv`) on PATH.
lock:
	printf 'editables\n%s\n' "$$(sed -n 's/^requires = \["\(hatchling==[^"]*\)"\]/\1/p' pyproject.toml)" > .build-requirements.in
	uv pip compile -q --universal --generate-hashes --no-strip-extras --python-version 3.11 --no-header --no-annotate --extra postgres --extra kubernetes --extra notify --extra research pyproject.toml .build-requirements.in -o requirements.lock
	uv pip compile -q --universal --generate-hashes --no-strip-extras --python-version 3.11 --no-header --no-annotate --extra postgres --extra kubernetes --extra notify --extra research --extra dev -c requirements.lock pyproject.toml .build-requirements.in -o requirements-dev.lock
	rm .build-requirements.in
	printf 'checkov\n' > .policy-requirements.in
	uv pip compile -q --universal --generate-hashes --no-strip-extras --python-version 3.11 --no-header --no-annotate .policy-requirements.in -o requirements-policy.lock
	rm .policy-requirements.in
	printf 'bt==1.4.1\nvectorbt==1.2.0\n' > .peers-requirements.in
	uv pip compile -q --universal --generate-hashes --no-strip-extras --python-version 3.11 --no-header --no-annotate .peers-requirements.in -o requirements-peers.lock
	rm .peers-requirements.in
	printf 'zensical==0.0.73\n' > .docs-requirements.in
	uv pip compile -q --universal --generate-hashes --no-strip-extras --python-version 3.11 --no-header --no-annotate .docs-requirements.in -o requirements-docs.lock
	rm .docs-requirements.in
	printf 'pillow==13.0.0\nplaywright==1.65.2\n' > .pictures-requirements.in
	uv pip compile -q --universal --generate-hashes --no-strip-extras --python-version 3.11 --no-header --no-annotate .pictures-requirements.in -o requirements-pictures.lock
	rm .pictures-requirements.in

# checkov for the chart's tests, in an environment of its own: its 99 pins would bind ours.
policy: .venv/policy/ready

.venv/policy/ready: requirements-policy.lock | .venv/ready
	test -x .venv/policy/bin/python || $(PYTHON) -m venv .venv/policy
	.venv/policy/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-policy.lock
	touch $@

# What backtests are compared with in `make bench`: its pins of numpy and pandas are its own.
.venv/peers/ready: requirements-peers.lock | .venv/ready
	test -x .venv/peers/bin/python || $(PYTHON) -m venv .venv/peers
	.venv/peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-peers.lock
	touch $@

# What takes the screenshots; the browser is the machine's own, and none is fetched.
.venv/pictures/ready: requirements-pictures.lock | .venv/ready
	test -x .venv/pictures/bin/python || $(PYTHON) -m venv .venv/pictures
	.venv/pictures/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-pictures.lock
	touch $@

# What builds the site of the documents; its pins are its own, and the platform needs none of it.
.venv/docs/ready: requirements-docs.lock | .venv/ready
	test -x .venv/docs/bin/python || $(PYTHON) -m venv .venv/docs
	.venv/docs/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.lock
	touch $@

.venv/ready: requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || { echo "Python 3.11 to 3.14 is needed; choose one with: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || { echo "making .venv with $$($(PYTHON) --version) ..."; $(PYTHON) -m venv .venv; }
	@echo "fetching what requirements-dev.lock names into .venv: some minutes the first time, seconds when it is cached ..."
	@rm -f .venv/failed; { $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --require-hashes -r requirements-dev.lock || touch .venv/failed; } | \
	awk -v of="$$(grep -c '==' requirements-dev.lock)" '/^(Collecting|Requirement already)/ { if (++n % 25 == 0) print "  " n " of about " of " packages" } /^Installing collected/ { print "  installing them, about a minute ..." } { fflush() }'
	@test ! -e .venv/failed || { rm .venv/failed; echo "the packages were not installed: pip says above why; make again goes on"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@
