"""Files of secrets that others may read or replace."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ss_pusher.config import load
from ss_pusher.config.secrecy import exposure

RIGHT = "; chmod 600 would be right, or systemd's LoadCredential="


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory where every user can go, which tmp_path is not, and nobody else may write."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def secret(directory: Path, mode: int, name: str = "password") -> Path:
    file = directory / name
    file.write_text("s3cret")
    file.chmod(mode)
    return file


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o660, 0o440])
def test_what_only_owner_and_group_may_read_is_no_matter(open_directory: Path, mode: int) -> None:
    assert exposure(secret(open_directory, mode)) == ""


@pytest.mark.parametrize(
    ("mode", "may"), [(0o644, "read"), (0o604, "read"), (0o602, "changed"), (0o666, "read and changed")]
)
def test_what_every_user_may_read_or_change_is_named_with_its_mode(open_directory: Path, mode: int, may: str) -> None:
    file = secret(open_directory, mode)
    assert exposure(file) == f"every user may have {file} {may} (its mode is {mode:04o}){RIGHT}"


def test_what_lies_where_others_cannot_go_is_no_matter(open_directory: Path) -> None:
    (open_directory / "closed").mkdir(mode=0o700)
    assert exposure(secret(open_directory / "closed", 0o644)) == ""


def test_what_is_not_there_is_no_matter(open_directory: Path) -> None:
    assert exposure(open_directory / "none") == ""
    (open_directory / "circle").symlink_to("circle")
    assert exposure(open_directory / "circle") == ""


def test_the_mode_is_that_of_the_file_behind_a_link(open_directory: Path) -> None:
    link = open_directory / "link"
    link.symlink_to(secret(open_directory, 0o644))
    assert "every user may have" in exposure(link)
    (open_directory / "password").chmod(0o600)
    assert exposure(link) == ""


def test_a_place_where_everyone_may_put_another_file_is_named(open_directory: Path) -> None:
    (open_directory / "free").mkdir()
    (open_directory / "free").chmod(0o777)
    in_it = secret(open_directory / "free", 0o600)
    link = open_directory / "free" / "link"
    link.symlink_to(secret(open_directory, 0o600))
    for path in (in_it, link):
        assert exposure(path) == (
            f"every user may put another file in the place of {path}, since {open_directory}/free is open to all{RIGHT}"
        )
    (open_directory / "free").chmod(0o1777)  # as /tmp, where nobody may rename what is not theirs
    assert exposure(in_it) == ""


def test_each_file_of_a_secret_is_warned_of_once_and_no_certificate_is(open_directory: Path) -> None:
    for name in ("password", "token", "client.key", "ca.pem", "client.pem", "user", "secret", "web.yml"):
        secret(open_directory, 0o644, name)
    file = secret(open_directory, 0o600, "config.yml")
    file.write_text(
        """\
remote_write:
  - url: http://a/
    basic_auth: {username_file: user, password_file: password}
    tls_config: {ca_file: ca.pem, cert_file: client.pem, key_file: client.key}
  - {url: "http://b/", authorization: {credentials_file: token}}
  - {url: "http://c/", bearer_token_file: token}
  - {url: "http://d/", oauth2: {client_id: a, client_secret_file: secret, token_url: "http://t/"}}
expose: {listen_address: 127.0.0.1:0, web_config_file: web.yml}
"""
    )
    places = [warning.partition(": every user")[0] for warning in load(file).warnings]
    assert places == [
        f"{file}:3: remote_write[0].basic_auth.password_file",
        f"{file}:4: remote_write[0].tls_config.key_file",
        f"{file}:5: remote_write[1].authorization.credentials_file",
        f"{file}:7: remote_write[3].oauth2.client_secret_file",
        f"{file}:8: expose.web_config_file",
    ]


def test_each_secret_in_a_configuration_that_every_user_may_read_is_named_by_its_line(open_directory: Path) -> None:
    file = secret(open_directory, 0o644, "config.yml")
    file.write_text(
        """\
remote_write:
  - url: http://a/?tenant=b
    headers: {X-Scope-OrgID: b, X-Api-Key: c}
  - url: http://b/?api_key=c
    headers: {Cookie: "${HOSTNAME}"}
  - {url: "http://c/?token=", bearer_token: c}
pushgateway:
  - url: http://d/
    headers:
      X-Auth-Token: c
  - {url: "http://u:p@e/"}
"""
    )
    warnings = load(file, environment={"HOSTNAME": "a"}).warnings
    assert [warning.partition(": holds a secret")[0] for warning in warnings] == [
        f"{file}:3: remote_write[0].headers.X-Api-Key",
        f"{file}:4: remote_write[1].url",
        f"{file}:6: remote_write[2].bearer_token",
        f"{file}:10: pushgateway[0].headers.X-Auth-Token",
        f"{file}:11: pushgateway[1].url",
    ]
    file.chmod(0o640)
    assert load(file, environment={"HOSTNAME": "a"}).warnings == ()


@pytest.mark.parametrize(("mode", "warned"), [(0o644, False), (0o666, True), (0o622, True), (0o664, False)])
def test_a_configuration_that_every_user_may_change_is_warned_of(
    open_directory: Path, mode: int, *, warned: bool
) -> None:
    file = secret(open_directory, mode, "config.yml")
    file.write_text("{}")
    warning = f"{file}: every user may have {file} changed (its mode is {mode:04o}); chmod o-w would be right"
    assert load(file).warnings == ((warning,) if warned else ())


def test_a_configuration_that_every_user_may_replace_is_warned_of(open_directory: Path) -> None:
    file = secret(open_directory, 0o644, "config.yml")
    file.write_text("{}")
    open_directory.chmod(0o777)
    (warning,) = load(file).warnings
    assert warning.startswith(f"{file}: every user may put another file in the place of {file}")


def test_more_patience_than_the_units_have_is_warned_of(open_directory: Path) -> None:
    file = secret(open_directory, 0o600, "config.yml")
    file.write_text("shutdown_deadline: 26s")
    (warning,) = load(file).warnings
    assert warning.startswith(f"{file}:1: shutdown_deadline: is more than the 25 s that the units have time for; ")
    file.write_text("shutdown_deadline: 25s")
    assert load(file).warnings == ()
