"""docs/ is true: its commands run or say what they need, its alerts and files exist."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tokenomics_dagster.definitions import defs
from tokenomics_dagster.kit import alerts
from tokenomics_dagster_tests.conftest import REPOSITORY, Platform
from tokenomics_dagster_tests.documents.blocks import FENCE, Block, blocks_of, pages
from tokenomics_dagster_tests.end_to_end.conftest import Command, without_platform_variables
from tokenomics_dagster_tests.operations.conftest import WEEK
from tokenomics_dagster_tests.operations.test_metrics import RULES

DOCUMENTS = pages()
OPERATIONS = (REPOSITORY / "docs/operations.md").read_text()
PATH = os.environ["PATH"]  # the command's fixture begins with an empty environment
BESIDE = ["CHANGELOG.md", "SECURITY.md"]
BLOCKS = [block for page in DOCUMENTS for block in blocks_of(page) if block.language == "sh"]


def headings(text: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", text, re.MULTILINE)


def anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind == "tested"], ids=lambda b: b.where)
def test_a_block_that_is_tested_elsewhere_is(block: Block) -> None:
    source = (REPOSITORY / block.more).read_text()
    for line in block.lines:
        program, subcommand, *_ = line.split()
        if program == "tokenomics":
            assert re.search(rf'"{subcommand}"', source), line
        else:
            # `make ui` is what runs it there.
            assert '"ui"' in source
            assert line.removesuffix(" -w workspace.yaml").replace("dagster", 'dagster"') in (
                REPOSITORY / "Makefile"
            ).read_text().replace("$(CURDIR)/$(BIN)/", "")


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind in {"cluster", "docker"}], ids=lambda b: b.where)
def test_a_block_that_is_not_run_needs_what_it_says(block: Block) -> None:
    programs = {"cluster": {"kubectl", "helm"}, "docker": {"docker"}}[block.kind]
    for line in block.lines:
        words = shlex.split(line)
        assert words[0] in programs
        for word in words:
            if word.startswith("helm/"):
                assert (REPOSITORY / word).exists(), word


@pytest.mark.soak
def test_the_commands_of_the_documents_run(
    week: Platform, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    """One after the other, as somebody would who follows the text with the sandbox's week before them."""
    pgserver = pytest.importorskip("pgserver", reason="pg_dump and psql come with the pgserver wheel")
    tools = Path(pgserver.__file__).parent / "pginstall/bin"
    for name in ("dagster.yaml", "workspace.yaml"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    (tmp_path / ".tokenomics").mkdir()
    shutil.copy(week.folder / "warehouse.db", tmp_path / ".tokenomics")
    server = make_url(postgres_url)

    def address(database: str) -> str:
        return server.set(drivername="postgresql", database=database).render_as_string(hide_password=False)

    environment = {
        **without_platform_variables(),
        **week.sandbox.environment(),
        "TOKENOMICS_SETTINGS": str(week.settings_file),
        "PATH": f"{tools}{os.pathsep}{PATH}",
        "WAREHOUSE_URL": address("documents"),
        "RESTORED_URL": address("restored"),
        "PWD": str(tmp_path),
    }
    run_in_shell(f'psql --dbname="{address("postgres")}" --command="create database documents"', tmp_path, environment)
    in_postgres = f"postgresql+psycopg2://{address('documents').partition('://')[2]}"
    assert command("migrate", TOKENOMICS_DATABASE_URL=in_postgres).code == 0
    assert command("halt", "before the backup").code == 0
    del os.environ["TOKENOMICS_DATABASE_URL"]

    verified = []
    for line in [line for block in BLOCKS if block.kind == "test" for line in block.lines]:
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            done = run_in_shell(f"printf %s {value}", tmp_path, environment)
            environment[name] = done.stdout
        elif line.startswith("tokenomics "):
            outcome = command(*shlex.split(line)[1:], **environment)
            assert outcome.code == 0, f"{line}: {outcome.out}{outcome.err}"
            verified += re.findall(r"^([\d,]+) records .* are as they were written", outcome.out, re.MULTILINE)
        else:
            run_in_shell(line, tmp_path, environment)
    week_records = f"{week.store.audit_head().count:,}"
    # The week; with halt, cancel and resume in the backup and in what is restored from it; the halt in PostgreSQL.
    assert verified[0] == week_records
    assert int(verified[1].replace(",", "")) == int(week_records.replace(",", "")) + 3
    assert verified[2:] == ["1"]


def run_in_shell(line: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["sh", "-ec", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, f"{line}: {done.stderr}"
    return done


def test_every_rule_of_prometheus_has_its_heading() -> None:
    anchors = [anchor(heading) for heading in headings(OPERATIONS)]
    for rule in RULES:
        file, _, wanted = rule["annotations"]["runbook"].partition("#")
        assert file == "docs/operations.md"
        assert anchors.count(wanted) == 1, rule["alert"]


def test_every_heading_of_a_rule_has_its_rule() -> None:
    named = {heading for heading in headings(OPERATIONS) if heading.startswith("Tokenomics")}
    assert named == {rule["alert"] for rule in RULES}


def test_every_key_of_a_problem_has_its_heading() -> None:
    found = headings(OPERATIONS)
    keys = {alerts.HALT, alerts.BROKER, alerts.WAREHOUSE, alerts.SETTINGS, alerts.RUNS}
    keys |= {alerts.job_key(job.name) for job in defs().resolve_all_job_defs() if not job.name.startswith("__")}
    assert {key for key in keys if found.count(key) != 1} == set()
    # `purge` is a job of every deployment.
    assert {heading for heading in found if heading.startswith("job:")} - keys <= {"job:purge"}


def test_every_check_has_one_row_that_says_what_to_do() -> None:
    graph = defs().resolve_asset_graph()
    checks = [f"{key.asset_key.to_user_string()}.{key.name}" for key in graph.asset_check_keys]
    rows = [line for line in OPERATIONS.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`(\w+\.\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(checks)
    assert all(len(row.split("|")[2]) > 20 for row in rows)


@pytest.mark.parametrize("name", [*DOCUMENTS, *BESIDE])
def test_every_file_that_is_named_exists_and_every_link_leads_somewhere(name: str) -> None:
    page = REPOSITORY / name
    text = FENCE.sub("", page.read_text())
    for path in re.findall(
        r"`((?:tokenomics_dagster_tests|tokenomics_dagster|helm|monitoring|\.github)/[\w./-]*)`", text
    ):
        assert (REPOSITORY / path).exists(), path
    for target in re.findall(r"\]\(([^)]+)\)", text):
        file, _, wanted = target.partition("#")
        if file.startswith("https://"):
            continue
        path = page.parent / file if file else page
        assert path.exists(), target
        if wanted:
            assert wanted in [anchor(heading) for heading in headings(path.read_text())], target


def test_every_word_of_evidence_is_used_where_the_glossary_says_it_is_defined() -> None:
    section = (REPOSITORY / "docs/glossary.md").read_text().partition("## Evidence\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| `([^`]+)` \|", section, re.MULTILINE)
    assert len(rows) == section.count("`tokenomics_dagster/")
    assert len(rows) >= 20
    for word, file in rows:
        used = r"[\s_-]*".join(map(re.escape, re.split(r"[\s-]", word)))
        assert re.search(rf"(?:\b|_){used}", (REPOSITORY / file).read_text(), re.IGNORECASE), f"{word} in {file}"


def test_every_setting_that_is_named_exists() -> None:
    from tokenomics_dagster.settings import Settings
    from tokenomics_dagster.settings.loading import load_settings

    settings = load_settings(REPOSITORY / "config/settings.yaml")
    for name in DOCUMENTS:
        for section, key in re.findall(r"`(\w+)\.(\w+)(?::[^`]*)?`", (REPOSITORY / name).read_text()):
            if section in Settings.model_fields and section != "universe":
                assert hasattr(getattr(settings, section), key), f"{section}.{key}"


def test_the_week_that_the_documents_name_is_that_of_the_tests() -> None:
    assert f"tokenomics audit show {WEEK}" in OPERATIONS
