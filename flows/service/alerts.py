"""The alert of a failed nightly, put into Prefect's server: an automation that calls a webhook.

An automation of the server, not a hook of the flow, since a flow whose process is killed has no
hooks any more, nor has one whose worker died.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.types import SecretDict
from prefect.variables import Variable
from pydantic import SecretStr

from flows.service.webhook import ALERT_BLOCK
from mlubench.catalogue.yaml_file import read_yaml
from mlubench.errors import ConfigError

#: Prefect's variable with the webhook's address.
ALERT_URL = "mlubench_alert_url"
_FILE = Path(__file__).resolve().parents[2] / "automations" / "nightly-alert.yaml"


def deploy_alert(client: SyncPrefectClient) -> str:
    """Make the server's alert what the variable and the file say, and return that in words.

    Raises:
        ConfigError: the variable is no address of a web server.
    """
    definition = read_yaml(_FILE)
    url: Any = Variable.get(ALERT_URL, default=None)
    for automation in client.read_automations_by_name(definition["name"]):
        client.delete_automation(automation.id)
    if not url:
        _forget_webhook()
        return f"alerts: off; the Prefect variable {ALERT_URL} is not set"
    if not str(url).startswith(("http://", "https://")):
        raise ConfigError(
            "is no address of a web server",  # which may hold a secret, so it is not told
            where=f"Prefect variable {ALERT_URL}",
            expected="http://... or https://...",
            fix=f"prefect variable set --overwrite {ALERT_URL} https://...",
        )
    block = Webhook(
        url=SecretStr(str(url)), headers=SecretDict({"Content-Type": "application/json"})
    )
    webhook = block.save(ALERT_BLOCK, overwrite=True)
    payload = definition.pop("payload")
    action = {"type": "call-webhook", "block_document_id": str(webhook), "payload": payload}
    client.create_automation(AutomationCore.model_validate({**definition, "actions": [action]}))
    return f"alerts: on, to the webhook of the Prefect variable {ALERT_URL}"


def _forget_webhook() -> None:
    """Remove the copy of an address that is no longer wanted."""
    with contextlib.suppress(ValueError, ObjectNotFound):
        Webhook.delete(ALERT_BLOCK)
