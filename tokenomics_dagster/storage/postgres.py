"""What every connection to PostgreSQL has, the warehouse's and those of Dagster's own storage."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

# Without these a machine that vanished is noticed after two hours (TCP's keepalive), or never while connecting.
OPTIONS = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


class Alive(sa.CreateEnginePlugin):
    """An engine whose connections are asked whether they live before they are used again, and give up one that does not
    answer: by `?plugin=tokenomics` in its address (an entry point in pyproject.toml).

    Dagster's storages take an address and no option of an engine. Without it the webserver meets a server that was
    restarted with a dead connection of each pool, and answers the call with an error.
    """

    def update_url(self, url: sa.URL) -> sa.URL:
        return url.update_query_dict({name: str(one) for name, one in OPTIONS.items() if name not in url.query})

    def handle_pool_kwargs(self, _pool_class: type[sa.Pool], pool_args: dict[str, Any]) -> None:
        pool_args["pre_ping"] = True
