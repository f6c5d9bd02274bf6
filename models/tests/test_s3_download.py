"""Models from a server that speaks S3, keeps users and their policies, and verifies every signature."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from whisper_models.catalogue import CatalogueModel
from whisper_models.cli import app
from whisper_models.download import DownloadFailed, DownloadPolicy, DownloadReason, download_model
from whisper_models.s3 import Credentials, error_code, object_url, signer

# The server's client library reads dates in a way that Python gave up.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

KEY = "speech models/ggml-ümlaut+1.bin"
QUICK = DownloadPolicy(attempts=3, first_delay_s=0.001, connect_timeout_s=30.0, stall_timeout_s=30.0)
READ_ALL = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}


@dataclass(frozen=True)
class S3:
    endpoint: str
    admin: Any
    """A client that may do everything as long as nothing is verified."""
    reader: Credentials
    stranger: Credentials


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    admin = {
        "endpoint_url": endpoint,
        "region_name": "us-east-1",
        "aws_access_key_id": "admin",
        "aws_secret_access_key": "admin",
    }
    iam = boto3.client("iam", **admin)
    client = boto3.client("s3", **admin)
    client.create_bucket(Bucket="models")
    reader, stranger = (_user(iam, name) for name in ("reader", "stranger"))
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=json.dumps(READ_ALL))
    yield S3(endpoint, client, reader, stranger)
    server.stop()


def _user(iam: Any, name: str) -> Credentials:
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


@pytest.fixture
def body(s3: S3, ggml_bytes: Callable[..., bytes]) -> Iterator[bytes]:
    """What lies at KEY; from then on every request must be signed by somebody who may read it."""
    content = ggml_bytes()
    s3.admin.put_object(Bucket="models", Key=KEY, Body=content)
    _verify_signatures(s3, after_requests=0)
    yield content
    _verify_signatures(s3, after_requests=10**9)


def _verify_signatures(s3: S3, *, after_requests: int) -> None:
    url = f"{s3.endpoint}/moto-api/reset-auth"
    text = {"Content-Type": "text/plain"}
    request = urllib.request.Request(url, data=str(after_requests).encode(), headers=text, method="POST")
    with urllib.request.urlopen(request):
        pass


def described(content: bytes, s3: S3, key: str = KEY) -> CatalogueModel:
    sha256 = hashlib.sha256(content).hexdigest()
    url = object_url("models", key, endpoint=s3.endpoint)
    return CatalogueModel("own", "own.bin", size_bytes=None, sha1=None, sha256=sha256, url=url)


async def failure_of(model: CatalogueModel, folder: Path, credentials: Credentials) -> DownloadFailed:
    with pytest.raises(DownloadFailed) as caught:
        await download_model(model, folder, sign=signer(credentials), policy=QUICK)
    assert credentials.secret_access_key not in caught.value.message
    return caught.value


async def test_a_signed_download_arrives_whole(s3: S3, body: bytes, tmp_path: Path) -> None:
    path = await download_model(described(body, s3), tmp_path, sign=signer(s3.reader), policy=QUICK)
    assert path.read_bytes() == body


async def test_without_a_signature_nothing_is_given_out(s3: S3, body: bytes, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed) as caught:
        await download_model(described(body, s3), tmp_path, policy=QUICK)
    assert caught.value.reason is DownloadReason.UNAUTHORIZED


async def test_a_wrong_secret_is_told_as_the_server_tells_it(s3: S3, body: bytes, tmp_path: Path) -> None:
    wrong = Credentials(s3.reader.access_key_id, "not the secret")
    failure = await failure_of(described(body, s3), tmp_path, wrong)
    assert failure.reason is DownloadReason.UNAUTHORIZED
    assert "SignatureDoesNotMatch" in failure.message


async def test_an_unknown_key_id_and_a_user_who_may_not_read_are_refused(s3: S3, body: bytes, tmp_path: Path) -> None:
    unknown = await failure_of(described(body, s3), tmp_path, Credentials("AKIANOBODY", "secret"))
    stranger = await failure_of(described(body, s3), tmp_path, s3.stranger)
    assert unknown.reason is stranger.reason is DownloadReason.UNAUTHORIZED
    assert "InvalidAccessKeyId" in unknown.message
    assert "AccessDenied" in stranger.message


async def test_an_object_that_is_not_there_is_not_found(s3: S3, body: bytes, tmp_path: Path) -> None:
    failure = await failure_of(described(body, s3, "gone.bin"), tmp_path, s3.reader)
    assert failure.reason is DownloadReason.NOT_FOUND
    assert "NoSuchKey" in failure.message


async def test_a_download_from_s3_goes_on_where_it_stopped(s3: S3, body: bytes, tmp_path: Path) -> None:
    (tmp_path / "own.bin.part").write_bytes(body[:6000])
    seen: list[int] = []
    path = await download_model(
        described(body, s3),
        tmp_path,
        sign=signer(s3.reader),
        policy=QUICK,
        on_progress=lambda done, _total: seen.append(done),
    )
    assert path.read_bytes() == body
    assert seen[0] > 6000


async def test_another_files_bytes_fail_the_checksum(s3: S3, body: bytes, tmp_path: Path) -> None:
    failure = await failure_of(described(body[:-1] + b"x", s3), tmp_path, s3.reader)
    assert failure.reason is DownloadReason.CHECKSUM_MISMATCH


def test_the_command_takes_its_credentials_from_the_environment(s3: S3, body: bytes, tmp_path: Path) -> None:
    sha256 = hashlib.sha256(body).hexdigest()
    arguments = ["fetch-s3", "models", KEY, "--file", "a.bin", "--sha256", sha256]
    place = ["--dir", str(tmp_path), "--endpoint", s3.endpoint]
    keys = {"AWS_ACCESS_KEY_ID": s3.reader.access_key_id, "AWS_SECRET_ACCESS_KEY": s3.reader.secret_access_key}
    ran = CliRunner().invoke(app, [*arguments, *place], env=keys)
    assert ran.exit_code == 0, ran.output
    assert (tmp_path / "a.bin").read_bytes() == body
    keys["AWS_SECRET_ACCESS_KEY"] = "wrong"
    refused = CliRunner().invoke(app, [*arguments, "--dir", str(tmp_path / "b"), *place[2:]], env=keys)
    assert refused.exit_code == 1
    assert json.loads(refused.output.splitlines()[-1])["reason"] == "Unauthorized"


def test_a_session_token_is_signed_along() -> None:
    headers = signer(Credentials("AKIA", "secret", "the token"))("https://s3.us-east-1.amazonaws.com/models/a.bin")
    assert headers["X-Amz-Security-Token"] == "the token"
    assert "x-amz-security-token" in headers["Authorization"]


def test_addresses_name_region_or_endpoint_and_encode_what_a_signature_encodes() -> None:
    assert object_url("m", "a/b c+d.bin", region="eu-west-1") == (
        "https://s3.eu-west-1.amazonaws.com/m/a/b%20c%2Bd.bin"
    )
    assert object_url("m", "a.bin", endpoint="http://minio:9000/") == "http://minio:9000/m/a.bin"
    assert httpx.URL(object_url("m", "ü~.bin")).raw_path == b"/m/%C3%BC~.bin"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Key>a</Key></Error>", "NoSuchKey"),
        (b"<html>404</html>", None),
        (b"", None),
    ],
)
def test_the_code_of_an_error_is_found_where_there_is_one(answer: bytes, code: str | None) -> None:
    assert error_code(answer) == code


@pytest.fixture
async def refusing() -> AsyncIterator[Callable[[int, bytes], str]]:
    """Starts a server that answers everything alike, and gives its address."""
    import asyncio

    servers: list[asyncio.Server] = []

    def start_with(status: int, content: bytes) -> Any:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(content)) + content)
            await writer.drain()
            writer.close()

        async def start() -> str:
            server = await asyncio.start_server(answer, "127.0.0.1", 0)
            servers.append(server)
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        return start()

    yield start_with
    for server in servers:
        server.close()


@pytest.mark.parametrize(
    ("status", "code", "reason", "words"),
    [
        (400, "ExpiredToken", DownloadReason.UNAUTHORIZED, "HTTP 400, ExpiredToken"),
        (400, "AuthorizationHeaderMalformed", DownloadReason.UNAUTHORIZED, "AuthorizationHeaderMalformed"),
        (301, "PermanentRedirect", DownloadReason.NOT_FOUND, "another region"),
        (400, "InvalidRequest", DownloadReason.UNREACHABLE, "InvalidRequest"),
    ],
)
async def test_what_s3_says_with_other_statuses_is_understood(
    refusing: Any, tmp_path: Path, status: int, code: str, reason: DownloadReason, words: str
) -> None:
    endpoint = await refusing(status, f"<Error><Code>{code}</Code></Error>".encode())
    url = object_url("models", "a.bin", endpoint=endpoint)
    model = CatalogueModel("own", "own.bin", size_bytes=None, sha1=None, sha256="0" * 64, url=url)
    failure = await failure_of(model, tmp_path, Credentials("AKIA", "secret"))
    assert failure.reason is reason
    assert words in failure.message
