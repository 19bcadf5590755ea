"""How a rebalance notifies a person: handed to it as its venue is, for a rule knows no clock of the machine's."""

from typing import TYPE_CHECKING, Protocol

from tokenomics_dagster.kit.alerts import Problem, run_link

if TYPE_CHECKING:
    from tokenomics_dagster.kit.alerts import Notifier
    from tokenomics_dagster.kit.channels import Channel
    from tokenomics_dagster.storage.warehouse import Warehouse


class Notify(Protocol):
    """Takes the key of a problem, its title and its detail. Never an error: the work that notifies must go on."""

    def __call__(self, key: str, title: str, detail: str, /) -> None: ...


def notify_of_run(notifier: "Notifier", store: "Warehouse", channel: "Channel", run_id: str = "") -> Notify:
    """By the platform's alerts; with the `run_id` of Dagster each links to the run."""
    link = run_link(channel.settings, run_id) if run_id else None
    action = "look into the run and at the broker's dashboard; what is running again sends nothing twice"

    def notify(key: str, title: str, detail: str) -> None:
        notifier.alert(key, Problem(title, detail, action, link), store, channel)

    return notify
