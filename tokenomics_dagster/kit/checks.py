"""What a check is: its rule, its finding, the check made of a pandera schema, and how an asset tells and obeys them.

What is judged, and by which figures, is in the rooms' checks.py; they hold no Dagster. An asset is judged before it is
stored: a blocking asset check of Dagster stops its own run only, and the next run would read what was stored.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg

from tokenomics_dagster.kit.metadata import series, table

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa


@dataclass(frozen=True, slots=True)
class Rule:
    """A check as it is announced. One that `refuses` keeps the asset from being stored, or used where it says so;
    one that only `tells` is an error, one that `warns` a warning."""

    name: str
    description: str
    effect: Literal["refuses", "tells", "warns"] = "refuses"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to show beside a finding; what is shown is bounded, what is counted is not."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Finding:
    """What the rule of this name found: a sentence with the figure, its limit and, if it failed, what to do."""

    name: str
    passed: bool
    description: str
    figures: Mapping[str, float | int | str | bool] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)


SCHEMA = Rule("schema", "Every row obeys the schema of the table: types, limits, what must not repeat.")
NOT_PUBLISHED = "no Redis is configured (REDIS_URL or REDIS_HOST): nothing is published"
PUBLISHED = (Rule("complete", "Redis holds what was published, if a Redis is configured.", "tells"),)


def specs(asset: str, rules: Sequence[Rule], *, blocking: bool = True) -> list[dg.AssetCheckSpec]:
    """The checks of an asset; `blocking` false where the asset is stored whatever they say."""
    return [
        dg.AssetCheckSpec(
            rule.name, asset=asset, description=rule.description, blocking=blocking and rule.effect == "refuses"
        )
        for rule in rules
    ]


def results(
    rules: Sequence[Rule], findings: Sequence[Finding], *, asset: str | None = None
) -> list[dg.AssetCheckResult]:
    """One result per rule. ValueError unless each has exactly one finding: what was not looked at has not passed."""
    by_name = {finding.name: finding for finding in findings}
    if len(by_name) != len(findings) or by_name.keys() != {rule.name for rule in rules}:
        raise ValueError(f"findings {sorted(f.name for f in findings)} for rules {sorted(r.name for r in rules)}")
    return [
        dg.AssetCheckResult(
            asset_key=asset,
            check_name=rule.name,
            passed=by_name[rule.name].passed,
            severity=dg.AssetCheckSeverity.WARN if rule.effect == "warns" else dg.AssetCheckSeverity.ERROR,
            description=by_name[rule.name].description,
            metadata=_metadata(by_name[rule.name]),
        )
        for rule in rules
    ]


def judged(rules: Sequence[Rule], findings: Sequence[Finding], *, otherwise: str) -> Iterator[dg.AssetCheckResult]:
    """Tells every result, then raises Failure when a rule that refuses has failed; `otherwise`: what holds then.

    Dagster records what was yielded although the step fails afterwards.
    """
    yield from results(rules, findings)
    refuse(rules, findings, otherwise=otherwise)


def refuse(rules: Sequence[Rule], findings: Sequence[Finding], *, otherwise: str) -> None:
    """Raises Failure with all that failed of the rules that refuse, in one line."""
    decisive = {rule.name for rule in rules if rule.effect == "refuses"}
    failed = [finding for finding in findings if not finding.passed and finding.name in decisive]
    if failed:
        raise dg.Failure(
            f"{'; '.join(f'{finding.name}: {finding.description}' for finding in failed)}: {otherwise}",
            metadata={f"{one.name} {key}": value for one in failed for key, value in _metadata(one).items()},
            allow_retries=False,
        )


def schema_finding(schema: "type[pa.DataFrameModel]", frame: "pd.DataFrame") -> Finding:
    """Whether a frame obeys its pandera model; every failing value is counted and, up to the bound, shown."""
    from pandera.errors import SchemaErrors

    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as error:
        cases = error.failure_cases
        symbols = frame.get("symbol")
        rows = [
            (column, check, "" if index is None else index, _symbol(symbols, index), value)
            for column, check, index, value in cases[["column", "check", "index", "failure_case"]]
            .astype(object)
            .where(cases[["column", "check", "index", "failure_case"]].notna(), None)
            .itertuples(index=False)
        ]
        bad_rows = int(cases["index"].nunique())
        return Finding(
            SCHEMA.name,
            False,
            f"{len(rows)} values in {bad_rows} of {len(frame)} rows break {schema.__name__}, first {rows[0][0]} "
            f"({rows[0][1]}): look at what the source sends",
            {"failures": len(rows), "bad_rows": bad_rows, "rows": len(frame)},
            {"failing rows": Table(("column", "check", "row", "symbol", "value"), rows)},
        )
    return Finding(SCHEMA.name, True, f"all {len(frame)} rows obey {schema.__name__}", {"rows": len(frame)})


def published_finding(count: int, discrepancies: Sequence[str], *, published: bool) -> Finding:
    """Whether all of `count` entries can be read back; `published` false where no Redis is configured."""
    if not published:
        return Finding("complete", True, NOT_PUBLISHED)
    figures = {"flaws": len(discrepancies)}
    if not discrepancies:
        return Finding("complete", True, f"Redis holds all {count} entries", figures)
    text = f"Redis does not hold what was published: {'; '.join(discrepancies[:5])}; does it evict keys "
    return Finding("complete", False, f"{text}(maxmemory-policy)?", figures)


def _symbol(symbols: "pd.Series[str] | None", index: Any) -> Any:
    return symbols[index] if symbols is not None and index is not None and symbols.index.is_unique else ""


def _metadata(finding: Finding) -> dict[str, Any]:
    shown = {key: table(each.rows, *each.columns) for key, each in finding.tables.items()}
    counts = {f"{key} (count)": len(each.rows) for key, each in finding.tables.items()}
    told = {key: one for key, one in finding.figures.items() if not isinstance(one, float)}
    numbers = series({key: one for key, one in finding.figures.items() if isinstance(one, float)})
    return {**told, **numbers, **counts, **shown}


def counted(number: int, what: str) -> str:
    """1 order, 2 orders."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
