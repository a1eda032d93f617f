"""The alert's webhook, tried again where a post fails: Prefect itself posts once.

Prefect finds this module by its entry point (``prefect.collections`` in pyproject.toml), in the
server's process too, where posts are sent from. There the class below takes the place of Prefect's
own for the alert's block; all others, and a server without this package, post once as ever.
"""

from __future__ import annotations

import asyncio
import warnings
from http import HTTPStatus
from typing import Any

import httpx
from prefect.blocks.webhook import Webhook

#: The name of the block that holds the alert's address.
ALERT_BLOCK = "mlubench-alert"
#: Seconds before each further try: a receiver that restarts is back by then.
WAITS = (1.0, 5.0, 25.0)
#: Answers of a receiver that may be well soon; others say that the post itself is wrong.
_MAY_PASS = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class NotDelivered(Exception):  # noqa: N818  # Prefect shows its name beside the reason
    """A post that no try delivered; says nothing of the address, which may hold a secret."""


with warnings.catch_warnings():
    # That it takes the place of Prefect's own is what it is for.
    warnings.filterwarnings("ignore", "Type 'RetriedWebhook'", UserWarning)

    class RetriedWebhook(Webhook):
        """Prefect's webhook; that of the alert is tried again where a post fails."""

        _block_type_name = "Webhook"
        _block_type_slug = "webhook"

        async def call(self, payload: dict[str, Any] | str | None = None) -> httpx.Response:
            """Post, and again after a while where no answer comes or the receiver is in trouble.

            Raises:
                NotDelivered: the last try failed too.
            """
            if self._block_document_name != ALERT_BLOCK:
                return await super().call(payload)
            said = ""
            for wait in (0.0, *WAITS):
                await asyncio.sleep(wait)
                self.block_initialization()  # a client is good for one post
                try:
                    answer = await super().call(payload)
                except httpx.HTTPError as error:
                    said = type(error).__name__
                    continue
                if answer.is_success:
                    return answer
                said = f"status {answer.status_code}"
                if not (answer.is_server_error or answer.status_code in _MAY_PASS):
                    break
            raise NotDelivered(f"not delivered: {said}")
