"""The part of the chart's values.schema.json that comes from the platform's settings: written by

    python -m tokenomics_dagster_tests.helm.schema

so that `helm install` refuses a wrong key or value of `settings`. The rest of that file is written by hand.
"""

import json
from pathlib import Path
from typing import Any

from tokenomics_dagster.settings import Settings

FILE = Path(__file__).parents[2] / "helm/tokenomics/values.schema.json"


def settings_schema() -> dict[str, Any]:
    """JSON schema of a settings file: every key is known, none is required."""
    model = Settings.model_json_schema()
    document = _overrides(model, model["$defs"])
    del document["properties"]["environment"]  # comes from variables
    return {"description": "by tokenomics_dagster_tests.helm.schema", **document}


def _overrides(part: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(part, list):
        return [_overrides(item, definitions) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return _overrides(definitions[part["$ref"].rpartition("/")[2]], definitions)
    kept = {key: value for key, value in part.items() if key not in ("$defs", "required", "default", "description")}
    if not isinstance(kept.get("title"), dict):
        kept.pop("title", None)
    return {key: _overrides(value, definitions) for key, value in kept.items()}


def main() -> None:
    document = json.loads(FILE.read_text())
    document["properties"]["settings"] = settings_schema()
    FILE.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
