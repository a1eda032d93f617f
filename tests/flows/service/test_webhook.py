"""The alert's webhook: a post that fails is tried again, and the address is told to nobody."""

from __future__ import annotations

import asyncio

import pytest
from prefect.blocks.core import Block
from prefect.blocks.webhook import Webhook
from pydantic import SecretStr

from flows.service import webhook
from flows.service.server import free_port
from flows.service.webhook import ALERT_BLOCK, WAITS, NotDelivered, RetriedWebhook
from tests.support.service import Receiver

SECRET = "a-token-that-nobody-logs"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "WAITS", (0.0,) * len(WAITS))


def _post(url: str, name: str = ALERT_BLOCK) -> int:
    block = RetriedWebhook(url=SecretStr(f"{url}/{SECRET}"))
    block._block_document_name = name
    return asyncio.run(block.call('{"text": "failed"}')).status_code


def test_a_receiver_that_recovers_gets_it_once() -> None:
    with Receiver(500, 503).running() as receiver:
        assert _post(receiver.url) == 204
    assert [body for _, body in receiver.got] == [b'{"text": "failed"}'] * 3


def test_one_that_does_not_recover_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    with (
        Receiver(*[500] * 9).running() as receiver,
        pytest.raises(NotDelivered, match="not delivered: status 500") as caught,
    ):
        _post(receiver.url)
    assert len(receiver.got) == 1 + len(WAITS)
    assert SECRET not in repr(caught.value)


def test_a_post_that_is_wrong_itself_is_not_repeated() -> None:
    with Receiver(404).running() as receiver, pytest.raises(NotDelivered, match="status 404"):
        _post(receiver.url)
    assert len(receiver.got) == 1


def test_nobody_there_is_told_without_the_address() -> None:
    with pytest.raises(NotDelivered, match="not delivered: ConnectError") as caught:
        _post(f"http://127.0.0.1:{free_port()}")
    assert SECRET not in repr(caught.value)


def test_other_webhooks_of_the_server_are_left_alone() -> None:
    with Receiver(500).running() as receiver:
        assert _post(receiver.url, "somebody-elses") == 500
    assert len(receiver.got) == 1


def test_prefect_finds_it_in_place_of_its_own() -> None:
    found = Block.get_block_class_from_key("webhook")
    assert found is RetriedWebhook
    assert issubclass(found, Webhook)
