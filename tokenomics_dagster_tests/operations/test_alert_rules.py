"""The rules for Prometheus, by its own tool: each fires when it should, and a change of any of them is noticed."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tokenomics_dagster_tests.conftest import REPOSITORY

MONITORING = REPOSITORY / "monitoring"
RULES = [
    rule for group in yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
CASES = yaml.safe_load((MONITORING / "alerts.test.yaml").read_text())
Rule = dict[str, Any]
UNITS = {"m": 1, "h": 60, "d": 1440}
STEP = 5  # minutes between two samples, and between two looks at the rules, in the tests of them
BRACES = re.compile(r"\{[^}]*\}")


@pytest.fixture(scope="session")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        why = (
            "promtool is not on PATH: rules are tested by it alone; Debian and Ubuntu have it in the package prometheus"
        )
        if "GITHUB_ACTIONS" in os.environ:  # .github/workflows/ci.yaml installs it
            pytest.fail(why)
        pytest.skip(why)
    return found


def minutes(duration: str) -> int:
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([mhd])", duration))


def cases_of(alert: str) -> list[dict[str, Any]]:
    return [case for case in CASES["tests"] if {one["alertname"] for one in case["alert_rule_test"]} == {alert}]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_rule_is_shown_to_fire_and_not_to_fire_however_long_one_waits(rule: Rule) -> None:
    looks = [look for case in cases_of(rule["alert"]) for look in case["alert_rule_test"]]
    assert any(look["exp_alerts"] for look in looks)
    quiet = [minutes(look["eval_time"]) for look in looks if not look["exp_alerts"]]
    assert max(quiet) >= minutes(rule.get("for", "0m"))


def test_no_case_is_of_a_rule_that_is_gone() -> None:
    named = {look["alertname"] for case in CASES["tests"] for look in case["alert_rule_test"]}
    assert named == {rule["alert"] for rule in RULES}


def test_prometheus_own_tool_takes_the_rules_and_their_tests_pass(promtool: str) -> None:
    subprocess.run([promtool, "check", "rules", MONITORING / "alerts.yaml"], check=True)
    subprocess.run([promtool, "test", "rules", MONITORING / "alerts.test.yaml"], check=True)


def outside_braces(pattern: str, expression: str) -> list[re.Match[str]]:
    inside = [found.span() for found in BRACES.finditer(expression)]
    return [
        found
        for found in re.finditer(pattern, expression)
        if not any(start <= found.start() < end for start, end in inside)
    ]


def put(found: re.Match[str], new: str) -> str:
    return found.string[: found.start()] + new + found.string[found.end() :]


def changed_expressions(expression: str) -> Iterator[str]:
    """The expression with one limit moved, one comparison or word of logic turned, or one window made too short."""
    for number in outside_braces(r"(?<![\w.\[])\d+(\.\d+)?(?![\w.])", expression):
        value = float(number[0])
        yield from (put(number, f"{value + by:g}") for by in ((-1, 1) if value == 0 else (-value / 10, value / 10)))
    turned = {">": ">=", "<": "<=", "==": "!=", "!=": "==", "or": "and", "unless": "and"}
    for word in outside_braces(r"[<>](?!=)|[=!]=|\bor\b|\bunless\b", expression):
        yield put(word, turned[word[0]])
    for window in outside_braces(r"\[\w+\]", expression):
        yield put(window, "[1m]")


def changed_matchers(expression: str) -> Iterator[str]:
    """The expression with one matcher of a label gone, or one of the values that it names."""
    for braces in BRACES.finditer(expression):
        matchers = re.findall(r'\w+[=!]~?"[^"]*"', braces[0])
        for left_out in matchers:
            yield put(braces, "{" + ", ".join(one for one in matchers if one != left_out) + "}")
        for one in matchers:
            name, sign, values = re.fullmatch(r'(\w+)([=!]~?)"(.*)"', one).groups()  # type: ignore[union-attr]
            words = values.split("|")
            for word in words if len(words) > 1 else ():
                fewer = "|".join(other for other in words if other != word)
                yield put(braces, braces[0].replace(one, f'{name}{sign}"{fewer}"'))


def changed(rule: Rule) -> Iterator[Rule]:
    for expression in (*changed_expressions(rule["expr"]), *changed_matchers(rule["expr"])):
        yield {**rule, "expr": expression}
    waits = minutes(rule.get("for", "0m"))
    yield {**rule, "for": f"{waits + STEP}m"}
    if waits:
        yield {**rule, "for": f"{waits - STEP}m"}
    yield {**rule, "labels": {}}
    yield {**rule, "labels": {"severity": "info"}}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_whatever_is_changed_of_a_rule_makes_its_tests_fail(rule: Rule, promtool: str, tmp_path: Path) -> None:
    changes = [rule, *changed(rule)]
    files = []
    for number, one in enumerate(changes):
        rules, tests = tmp_path / f"{number}.rules.yaml", tmp_path / f"{number}.yaml"
        rules.write_text(yaml.safe_dump({"groups": [{"name": "changed", "rules": [one]}]}))
        tests.write_text(yaml.safe_dump({**CASES, "rule_files": [rules.name], "tests": cases_of(rule["alert"])}))
        files.append(tests)
    done = subprocess.run(
        [promtool, "test", "rules", *files], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    told = done.stdout.split("Unit Testing:")[1:]
    assert len(told) == len(changes) >= 6
    passed = [number for number, text in enumerate(told) if "SUCCESS" in text]
    assert passed == [0], [changes[number] for number in passed]
