"""An S3 server on loopback (moto), which checks every request's signature and its user's rights.

It runs in a process of its own and is spoken to by its API alone.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.processes import becomes

#: Two users are made, each with a policy and a key, before the server asks who one is.
_OPEN_ACTIONS = 6
_ALL = ["s3:*"]
_READING = ["s3:Get*", "s3:List*", "s3:HeadBucket", "s3:HeadObject"]
#: What the standard chain of credentials looks at.
CHAIN = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"),
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"),
)


@dataclass(frozen=True)
class Key:
    """A user's key."""

    name: str
    secret: str

    def environment(self, endpoint: str) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.name,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@dataclass(frozen=True)
class S3Server:
    """The server.

    Attributes:
        url: where it answers.
        key: of a user who may do everything.
        reader: of one who may only read.
    """

    url: str
    key: Key
    reader: Key

    def client(self) -> Any:
        return _client("s3", self.url, self.key)

    def make_bucket(self, name: str) -> str:
        self.client().create_bucket(Bucket=name)
        return name

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Return every object of a bucket, read by another client than the one under test."""
        client = self.client()
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        names = [one["Key"] for page in pages for one in page.get("Contents", ())]
        return {name: client.get_object(Bucket=bucket, Key=name)["Body"].read() for name in names}


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run a server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {name: value for name, value in os.environ.items() if name not in CHAIN}
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env={**environment, "INITIAL_NO_AUTH_ACTION_COUNT": str(_OPEN_ACTIONS)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert becomes(lambda: _answers(url)), "moto's server does not start"
        yield S3Server(url, _user(url, "writer", _ALL), _user(url, "reader", _READING))
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _user(url: str, name: str, actions: list[str]) -> Key:
    iam = _client("iam", url, Key("nobody", "nothing"))
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="s3", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Key(key["AccessKeyId"], key["SecretAccessKey"])


def _client(service: str, url: str, key: Key) -> Any:
    import boto3  # slow, and few tests want it

    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=key.name,
        aws_secret_access_key=key.secret,
    )
