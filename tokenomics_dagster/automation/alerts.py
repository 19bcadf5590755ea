"""Alerts: what a person must hear of. Logged always, posted to ALERT_WEBHOOK_URL where one is set."""

import logging

from tokenomics_dagster.settings import load_environment

log = logging.getLogger("tokenomics.alerts")

_TIMEOUT_S = 5.0


def alert(title: str, text: str) -> None:
    """One message; a webhook that does not take it is logged, never an error: the work that alerts must go on.

    The body is JSON with `text` (Slack's format) beside `title` and `detail`.
    """
    log.error("%s: %s", title, text)
    url = load_environment().alert_webhook_url
    if url is None:
        return
    import requests

    body = {"text": f"*{title}*\n{text}", "title": title, "detail": text}
    try:
        answer = requests.post(url.get_secret_value(), json=body, timeout=_TIMEOUT_S)
    except requests.RequestException as error:
        # The text of the error holds the address, and the address is a secret.
        log.warning("the alert webhook cannot be reached (%s)", type(error).__name__)
        return
    if not answer.ok:
        log.warning("the alert webhook answered with status %d", answer.status_code)
