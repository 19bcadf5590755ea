"""A dead-man's switch: an address of the user's that hears of each look that worked, and tells him when none comes.

Whether a look worked is the sensor's to say. That no ping arrives is the message: nothing here is a problem to tell.
"""

import logging

from pydantic import SecretStr

from tokenomics_dagster.kit.channels import unlogged

log = logging.getLogger("tokenomics.alerts")

_TIMEOUT_S = 5.0


def ping(address: SecretStr | None) -> bool:
    """One GET; whether it was accepted. Never an error. The address is a secret, and in no log."""
    if address is None:
        return False
    import requests

    try:
        with unlogged():
            # A redirect may lead to another host, and nobody has set that one.
            answer = requests.get(address.get_secret_value(), timeout=_TIMEOUT_S, allow_redirects=False, stream=True)
            status = answer.status_code
            answer.close()  # unread: what it says does not matter, and it may be long
    except (OSError, ValueError) as error:  # requests' own, and certificates that are missing; what is no address
        log.warning("HEALTHCHECK_URL cannot be reached (%s)", type(error).__name__)
        return False
    if not 200 <= status < 300:
        log.warning("HEALTHCHECK_URL answered with status %d; a redirect is not followed", status)
        return False
    return True
