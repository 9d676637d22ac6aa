"""Where AWS access keys are found, with scripted services."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from ss_pusher.send.aws import AwsKeyChain
from ss_pusher.send.http import Client
from ss_pusher.send.session import HttpSettings
from ss_pusher.send.sigv4 import AwsKeys
from tests.send.endpoints import Clock
from tests.send.scripted import Script, Scripted, reply, scripted
from tests.servers import free_port

LONG = 20.0
EXPIRES = "2033-05-18T03:33:20Z"  # 2_000_000_000
GIVEN = {"AccessKeyId": "AKID", "SecretAccessKey": "secret", "Token": "session", "Expiration": EXPIRES}
FROM_SERVICE = AwsKeys("AKID", "secret", "session", 2e9)


@pytest.fixture
def client() -> Iterator[Client]:
    client = Client(HttpSettings())
    yield client
    client.close()


@pytest.fixture
def nowhere() -> str:
    return f"http://127.0.0.1:{free_port()}"


def chain(client: Client, environment: Mapping[str, str], clock: Clock | None = None, **options: str) -> AwsKeyChain:
    environment = {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere", **environment}
    return AwsKeyChain(client, environment, "eu-west-1", clock or Clock(), **options)


def keys(chain: AwsKeyChain, *, refused: bool = False) -> AwsKeys:
    return chain(time.monotonic() + LONG, refused=refused)


def base(server: Scripted) -> str:
    return f"http://127.0.0.1:{server.port}"


def given(**changes: object) -> Script:
    return reply(200, json.dumps({**GIVEN, **changes}).encode())


def test_the_environment_comes_first(client: Client) -> None:
    environment = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S", "AWS_SESSION_TOKEN": "T"}

    assert keys(chain(client, environment)) == AwsKeys("A", "S", "T")


def test_a_profile_comes_next_and_is_read_again_when_it_changes(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    text = "\n".join(
        f"[{name}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}"
        for name, key, secret in (("default", "D", "s%"), ("edge", "E", "e"))
    )
    file.write_text(text, encoding="utf-8")
    environment = {"AWS_SHARED_CREDENTIALS_FILE": str(file)}
    assert keys(chain(client, environment, profile="edge")) == AwsKeys("E", "e")
    assert keys(chain(client, {**environment, "AWS_PROFILE": "edge"})) == AwsKeys("E", "e")

    default = chain(client, environment)
    assert keys(default) == AwsKeys("D", "s%")
    file.write_text(text.replace("= D", "= Rotated"), encoding="utf-8")
    assert keys(default) == AwsKeys("Rotated", "s%")


def test_a_file_that_is_none_is_named(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("no section", encoding="utf-8")

    with pytest.raises(ValueError, match=f"{file} is not a file of AWS credentials"):
        keys(chain(client, {"AWS_SHARED_CREDENTIALS_FILE": str(file)}))


def test_a_container_is_asked_with_its_token(client: Client, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("pod\n", encoding="utf-8")
    with scripted(given()) as server:
        relative = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/1"}
        assert keys(chain(client, relative, container=base(server))) == FROM_SERVICE
        full = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{base(server)}/pod",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        }
        assert keys(chain(client, full)) == FROM_SERVICE

    assert [(r.method, r.path, r.headers.get("authorization")) for r in server.requests] == [
        ("GET", "/v2/credentials/1", None),
        ("GET", "/pod", "pod"),
    ]


def test_an_instance_is_asked_by_version_2_of_its_service(client: Client) -> None:
    with scripted(reply(200, b"t0k3n"), reply(200, b"the-role\n"), given()) as server:
        assert keys(chain(client, {}, instance=base(server))) == FROM_SERVICE

    assert [(r.method, r.path, r.headers.get("x-aws-ec2-metadata-token")) for r in server.requests] == [
        ("PUT", "/latest/api/token", None),
        ("GET", "/latest/meta-data/iam/security-credentials/", "t0k3n"),
        ("GET", "/latest/meta-data/iam/security-credentials/the-role", "t0k3n"),
    ]
    assert server.requests[0].headers["x-aws-ec2-metadata-token-ttl-seconds"] == "60"


def test_an_instance_without_a_role_says_so(client: Client) -> None:
    with (
        scripted(reply(200, b"t0k3n"), reply(200, b"")) as server,
        pytest.raises(ValueError, match="no AWS keys: this instance has no role"),
    ):
        keys(chain(client, {}, instance=base(server)))


def test_nothing_anywhere_says_so(client: Client, nowhere: str) -> None:
    with pytest.raises(OSError, match=r"no AWS keys: .*Connection refused"):
        keys(chain(client, {}, instance=nowhere))


def test_keys_are_kept_until_shortly_before_they_expire_or_are_refused(client: Client) -> None:
    clock = Clock(2e9 - 1000)
    later = given(AccessKeyId="LATER", Expiration="2043-01-01T00:00:00Z")
    with scripted(given(), later) as server:
        environment = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.url}
        found = chain(client, environment, clock)
        assert keys(found) == keys(found) == FROM_SERVICE
        clock.now += 701
        assert keys(found).access_key == "LATER"
        assert len(server.requests) == 2
        keys(found)
        assert len(server.requests) == 2
        keys(found, refused=True)
        assert len(server.requests) == 3


def test_a_role_is_assumed_with_what_was_found(client: Client) -> None:
    credentials = {"AccessKeyId": "ROLE", "SecretAccessKey": "rs", "SessionToken": "rt", "Expiration": 2e9}
    answer = json.dumps({"AssumeRoleResponse": {"AssumeRoleResult": {"Credentials": credentials}}}).encode()
    with scripted(reply(200, answer)) as server:
        environment = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S"}
        found = chain(client, environment, role_arn="arn:aws:iam::1:role/push", sts=base(server) + "/")
        assert keys(found) == AwsKeys("ROLE", "rs", "rt", 2e9)

    (received,) = server.requests
    assert received.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=A/19700101/eu-west-1/sts/")
    assert parse_qs(received.body.decode())["RoleArn"] == ["arn:aws:iam::1:role/push"]


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"Expiration": "soon"}', b"[" * 9999])
def test_an_answer_without_keys_is_an_error(client: Client, answer: bytes) -> None:
    with scripted(reply(200, answer)) as server, pytest.raises(ValueError, match="no AWS keys: the answer"):
        keys(chain(client, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.url}))


def test_a_refusal_says_whose(client: Client) -> None:
    with scripted(reply(403, b"not you")) as server, pytest.raises(OSError, match=f"{server.url} answers 403: not you"):
        keys(chain(client, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.url}))
