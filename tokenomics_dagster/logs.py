"""The name under which each instance's dagster.yaml knows the handler of the JSON logs."""

from tokenomics_dagster.kit.logs import handler as handler
