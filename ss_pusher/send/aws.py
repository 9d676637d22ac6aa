"""AWS access keys from where AWS's own tools look: environment, profile, container, instance; and assumed roles.

Sources: AWS SDKs and Tools Reference Guide ("Credential providers"); Amazon EC2 User Guide (instance metadata,
version 2); AWS Security Token Service API Reference (AssumeRole).
"""

import json
from collections.abc import Callable, Mapping
from configparser import ConfigParser, Error
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from ss_pusher.files import read_file, read_secret
from ss_pusher.send.exchange import Answer, Call
from ss_pusher.send.http import Client
from ss_pusher.send.sigv4 import AwsKeys, sign
from ss_pusher.send.tls import stamp

CONTAINER: Final = "http://169.254.170.2"
INSTANCE: Final = "http://169.254.169.254"
_ROLES: Final = "/latest/meta-data/iam/security-credentials/"
_RENEW_BEFORE: Final = 300.0
_MAX_ANSWER: Final = 64 << 10
_MAX_FILE: Final = 1 << 20


class AwsKeyChain:
    """The first of: the environment, the shared credentials file, the container's service, the instance's service.

    With `role_arn` what they give is used to assume that role. Keys are kept until shortly before they expire.
    `now` is in Unix seconds; `instance` and `container` are where the two services are.
    """

    def __init__(
        self,
        client: Client,
        environment: Mapping[str, str],
        region: str,
        now: Callable[[], float],
        *,
        profile: str = "",
        role_arn: str = "",
        instance: str = INSTANCE,
        container: str = CONTAINER,
        sts: str = "",
    ) -> None:
        self._client = client
        self._environment = environment
        self._region = region
        self._now = now
        self._profile = profile or environment.get("AWS_PROFILE", "default")
        self._role_arn = role_arn
        self._instance = instance
        self._container = container
        self._sts = sts or f"https://sts.{region}.amazonaws.com/"
        self._keys: AwsKeys | None = None
        self._file = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")).expanduser()
        self._stamp = stamp(self._file)

    def __call__(self, deadline: float, *, refused: bool) -> AwsKeys:
        """The keys. Raises OSError or ValueError where there are none."""
        current = stamp(self._file)
        if refused or current != self._stamp or not self._keys or self._now() > self._keys.expires_at - _RENEW_BEFORE:
            self._stamp = current
            self._keys = None
            keys = self._find(deadline)
            self._keys = self._assume(keys, deadline) if self._role_arn else keys
        return self._keys

    def _find(self, deadline: float) -> AwsKeys:
        environment = self._environment
        if "AWS_ACCESS_KEY_ID" in environment and "AWS_SECRET_ACCESS_KEY" in environment:
            token = environment.get("AWS_SESSION_TOKEN", "")
            return AwsKeys(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], token)
        return self._of_profile() or self._of_container(deadline) or self._of_instance(deadline)

    def _of_profile(self) -> AwsKeys | None:
        parser = ConfigParser(interpolation=None)
        try:
            parser.read_string(read_file(self._file, _MAX_FILE)[0].decode())
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        except OSError as error:
            raise OSError(f"cannot read {self._file}: {error.strerror}") from error
        except (Error, UnicodeDecodeError):
            raise ValueError(f"{self._file} is not a file of AWS credentials") from None
        section = parser[self._profile] if parser.has_section(self._profile) else {}
        if "aws_access_key_id" not in section or "aws_secret_access_key" not in section:
            return None
        token = section.get("aws_session_token", "")
        return AwsKeys(section["aws_access_key_id"], section["aws_secret_access_key"], token)

    def _of_container(self, deadline: float) -> AwsKeys | None:
        relative = self._environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        url = self._container + relative if relative else self._environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        if not url:
            return None
        headers = {}
        if file := self._environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            headers["Authorization"] = read_secret(Path(file))
        elif token := self._environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN"):
            headers["Authorization"] = token
        return _keys(self._ask(Call("GET", url, headers), deadline))

    def _of_instance(self, deadline: float) -> AwsKeys:
        lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = self._ask(Call("PUT", f"{self._instance}/latest/api/token", lifetime), deadline).body.decode("ascii")
        headers = {"X-aws-ec2-metadata-token": token}
        role = self._ask(Call("GET", f"{self._instance}{_ROLES}", headers), deadline).body.decode("ascii").split()
        if not role:
            raise ValueError("no AWS keys: this instance has no role")
        return _keys(self._ask(Call("GET", f"{self._instance}{_ROLES}{role[0]}", headers), deadline))

    def _assume(self, keys: AwsKeys, deadline: float) -> AwsKeys:
        form = {
            "Action": "AssumeRole",
            "Version": "2011-06-15",
            "RoleArn": self._role_arn,
            "RoleSessionName": "ss_pusher",
        }
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        call = Call("POST", self._sts, headers, urlencode(form).encode())
        signature = sign(call, keys, self._region, "sts", datetime.fromtimestamp(self._now(), UTC))
        answer = self._ask(Call("POST", self._sts, {**headers, **signature}, call.body), deadline)
        return _keys(answer, "AssumeRoleResponse", "AssumeRoleResult", "Credentials")

    def _ask(self, call: Call, deadline: float) -> Answer:
        outcome = self._client.send(call, deadline, _MAX_ANSWER)
        if not isinstance(outcome, Answer):
            raise OSError(f"no AWS keys: {outcome.words}")
        if outcome.status != HTTPStatus.OK:
            raise OSError(f"no AWS keys: {call.url} answers {outcome.status}: {outcome.text}")
        return outcome


def _keys(answer: Answer, *path: str) -> AwsKeys:
    """From JSON, whose times are numbers in one service and text in the others."""
    try:
        found: Any = json.loads(answer.body)
        for name in path:
            found = found[name]
        expires = found["Expiration"]
        seconds = float(expires) if isinstance(expires, int | float) else datetime.fromisoformat(expires).timestamp()
        token = found.get("Token") or found.get("SessionToken") or ""
        return AwsKeys(str(found["AccessKeyId"]), str(found["SecretAccessKey"]), str(token), seconds)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("no AWS keys: the answer of the service that gives them has none") from None
