"""What can go wrong at a provider, as types that callers can decide by.

No error holds a key, a query string, a header or the client library's own exception (those hold all three).
"""

from collections.abc import Mapping

from tokenomics_dagster.model.errors import UserError


class ProviderError(UserError):
    """A call that did not do what was asked. `status` is None when there was no HTTP answer.

    `endpoint` is method and path ("GET /stock/metric"); `message` says what was wrong, `remedy` what to do.
    """

    remedy = "see the provider's documentation"

    def __init__(self, provider: str, endpoint: str, status: int | None, message: str) -> None:
        super().__init__()
        self.provider = provider
        self.endpoint = endpoint
        self.status = status
        self.message = message

    def __str__(self) -> str:
        answer = "no answer" if self.status is None else f"status {self.status}"
        return f"{self.provider} {self.endpoint}: {answer}, {self.message.rstrip('.')}: {self.remedy}."

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self})"


class TransientError(ProviderError):
    """Time-out, lost or refused connection, 408, 429, 5xx, an answer that cannot be read: may work later.

    `retry_after_s` is what the provider asked for. `unsent`: no connection came about, so nothing has reached it.
    """

    remedy = "try again later; if it stays so, check the network, the base URL and the provider's status page"

    def __init__(
        self,
        provider: str,
        endpoint: str,
        status: int | None,
        message: str,
        *,
        retry_after_s: float | None = None,
        unsent: bool = False,
    ) -> None:
        super().__init__(provider, endpoint, status, message)
        self.retry_after_s = retry_after_s
        self.unsent = unsent


class PermanentError(ProviderError):
    """Any other refusal, or a body without what must be in it: the same call will fail again.

    `code` and `details` are the provider's own, as far as they were given (Alpaca: 40310000, {"available": "3"}).
    """

    remedy = "check the request, the base URL and what the account's plan covers"

    def __init__(
        self,
        provider: str,
        endpoint: str,
        status: int | None,
        message: str,
        *,
        code: int | None = None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(provider, endpoint, status, message)
        self.code = code
        self.details = dict(details or {})


class AuthenticationError(PermanentError):
    """The key is refused; `variables` are the environment variables that hold it."""

    def __init__(
        self, provider: str, endpoint: str, status: int | None, message: str, *, variables: tuple[str, ...]
    ) -> None:
        super().__init__(provider, endpoint, status, message)
        self.variables = variables
        self.remedy = f"check {' and '.join(variables)}, and that they belong to this address"


class OrderRejected(PermanentError):
    """The broker refused an order: nothing of it exists. `message` is the broker's."""

    remedy = "nothing was ordered; the same order would be refused again while that is so"

    @property
    def duplicate(self) -> bool:
        """An order with this client order id exists already (422 measured, 409 documented): look it up."""
        text = self.message.lower()
        return self.status == 409 or ("client_order_id" in text and "unique" in text)


class TooLate(ProviderError):
    """An order whose turn came after the instant until which it might be sent: nothing of it was sent."""

    remedy = "nothing was ordered; judge it anew before it is sent"


class AmbiguousOrder(ProviderError):
    """Nobody knows whether the order was accepted: time-out, lost connection, 5xx, unreadable answer."""

    remedy = "look it up by its client order id before anything else is sent"
