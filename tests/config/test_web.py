"""Prometheus' web configuration file, whatever is wrong with it."""

import os
from pathlib import Path

import bcrypt
import pytest

from ss_pusher.config.web import CIPHERS, Web, load_web
from ss_pusher.errors import ConfigError

HASH = bcrypt.hashpw(b"s3cret", bcrypt.gensalt(4)).decode()
TLS = "cert_file: a.pem, key_file: a.key"


def written(directory: Path, text: str) -> Path:
    file = directory / "web.yml"
    file.touch(mode=0o600)
    file.write_text(text)
    return file


def loaded(directory: Path, text: str) -> Web:
    return load_web(written(directory, text)).web


def problems(directory: Path, text: str) -> list[str]:
    """Each problem after the file's name."""
    file = written(directory, text)
    with pytest.raises(ConfigError) as caught:
        load_web(file)
    assert all(problem.startswith(f"{file}:") for problem in caught.value.problems)
    return [problem.removeprefix(f"{file}:") for problem in caught.value.problems]


def test_the_file_of_prometheus_documentation_is_taken(tmp_path: Path) -> None:
    web = loaded(
        tmp_path,
        """\
tls_server_config:
  cert_file: server.crt
  key_file: /etc/server.key
basic_auth_users:
  alice: $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze
  bob: $2y$10$hLqFl9jSjoAAy95Z/zw8Ye8wkdMBM8c5Bn1ptYqP/AXyV0.oy0S8m
""",
    )
    assert web.tls_server_config.cert_file == tmp_path / "server.crt"
    assert web.tls_server_config.key_file == Path("/etc/server.key")
    assert list(web.basic_auth_users) == ["alice", "bob"]
    assert web.basic_auth_users["alice"].reveal().startswith("$2y$10$mDwo")


def test_every_key_that_is_taken_is_taken(tmp_path: Path) -> None:
    web = loaded(
        tmp_path,
        f"""\
tls_server_config:
  cert_file: a.pem
  key_file: a.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  client_allowed_sans: [scraper.example]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [{", ".join(CIPHERS)}]
  prefer_server_cipher_suites: true
http_server_config:
  http2: true
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=${{DAY}}
""",
    )
    assert web.tls_server_config.client_allowed_sans == ("scraper.example",)
    # Prometheus expands nothing here, and nor does this.
    assert web.http_server_config.headers["Strict-Transport-Security"].reveal() == "max-age=${DAY}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("basic_auth_user: {a: b}", "1: basic_auth_user: unknown key; did you mean basic_auth_users?"),
        ("tls_server_config: {cert: x}", "1: tls_server_config.cert: is not taken: write it into a file of its own"),
        ("tls_server_config: {cert_file: a}", "1: tls_server_config.cert_file: needs key_file beside it"),
        ("tls_server_config: {min_version: TLS13}", "1: tls_server_config: lacks cert_file and key_file"),
        (f"tls_server_config: {{{TLS}, min_version: TLS14}}", "1: tls_server_config.min_version: 'TLS14' is none of"),
        (
            f"tls_server_config: {{{TLS}, min_version: TLS13, max_version: TLS12}}",
            "1: tls_server_config.max_version: is older than min_version",
        ),
        (
            f"tls_server_config: {{{TLS}, client_auth_type: RequireAndVerifyClientCert}}",
            "1: tls_server_config.client_auth_type: needs client_ca_file",
        ),
        (
            f"tls_server_config: {{{TLS}, client_auth_type: RequireAnyClientCert}}",
            "1: tls_server_config.client_auth_type: 'RequireAnyClientCert' is not taken, since anyone can make such",
        ),
        (
            f"tls_server_config: {{{TLS}, client_ca_file: ca.pem}}",
            "1: tls_server_config.client_ca_file: has no effect with NoClientCert",
        ),
        (
            f"tls_server_config: {{{TLS}, client_allowed_sans: [a]}}",
            "1: tls_server_config.client_allowed_sans: needs client_auth_type: RequireAndVerifyClientCert",
        ),
        (
            f"tls_server_config: {{{TLS}, cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}}",
            "1: tls_server_config.cipher_suites[0]: 'TLS_RSA_WITH_RC4_128_SHA' is none of",
        ),
        (
            f"tls_server_config: {{{TLS}, curve_preferences: [X25519]}}",
            "1: tls_server_config.curve_preferences: is not",
        ),
        ("http_server_config: {headers: {Server: x}}", "1: http_server_config.headers.Server: is none of"),
        (
            "http_server_config: {headers: {X-Frame-Options: maybe}}",
            "1: http_server_config.headers.X-Frame-Options: is not deny or sameorigin",
        ),
        (
            'http_server_config: {headers: {Content-Security-Policy: "a\\r\\nb"}}',
            "1: http_server_config.headers.Content-Security-Policy: is no header value",
        ),
        ("rate_limit: {burst: 1}", "1: rate_limit: is not taken: connections and the cost of passwords are bounded"),
        (f"basic_auth_users:\n  'a:b': {HASH}", "2: basic_auth_users['a:b']: has a colon"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    (found, *_) = problems(tmp_path, text)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    "wrong",
    ["plain", HASH[:-1], HASH + "x", HASH.replace("$2b$", "$1$"), HASH.replace("$04$", "$03$"), "$2b$04$" + "z" * 53],
)
def test_what_is_no_hash_is_refused_and_not_shown(tmp_path: Path, wrong: str) -> None:
    (found,) = problems(tmp_path, f"basic_auth_users:\n  alice: {wrong}\n")
    assert found.startswith("2: basic_auth_users.alice: is no bcrypt hash; `htpasswd")
    assert wrong not in found


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    assert len(problems(tmp_path, "a: 1\ntls_server_config: {cert_file: x}\nbasic_auth_users: {a: b}")) == 3


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yml: there is no such file"):
        load_web(tmp_path / "none.yml")


def test_passwords_need_the_package_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ss_pusher.config.web.find_spec", lambda _: None)
    assert problems(tmp_path, f"basic_auth_users: {{a: {HASH}}}") == [
        (
            "1: basic_auth_users: needs the package bcrypt beside ss_pusher; "
            "`pip install bcrypt` or `pipx inject ss_pusher bcrypt` gets it"
        )
    ]


def test_what_protects_less_than_it_seems_is_warned_of(tmp_path: Path) -> None:
    key = tmp_path / "a.key"
    key.touch()
    key.chmod(0o644)
    tmp_path.chmod(0o755)
    text = f"tls_server_config: {{{TLS}, client_auth_type: RequestClientCert}}\nhttp_server_config: {{http2: false}}"
    file = written(tmp_path, text)
    warnings = [warning.removeprefix(f"{file}:") for warning in load_web(file).warnings]
    assert (
        "1: tls_server_config.client_auth_type: looks at no certificate; RequireAndVerifyClientCert would" in warnings
    )
    assert "2: http_server_config.http2: has no effect here: answers go by HTTP/1.1" in warnings


@pytest.mark.parametrize("text", ["", "# nothing\n", "null", "{}", "---\n"])
def test_an_empty_file_asks_for_nothing_as_in_prometheus(tmp_path: Path, text: str) -> None:
    assert loaded(tmp_path, text) == Web()


def test_what_is_no_mapping_is_refused_without_a_hint_for_another_file(tmp_path: Path) -> None:
    assert problems(tmp_path, "- a") == ["1: expects keys with values"]


def test_a_hash_that_would_hold_the_login_for_minutes_is_refused(tmp_path: Path) -> None:
    costly = HASH.replace("$04$", "$21$")
    assert problems(tmp_path, f"basic_auth_users: {{alice: {costly}}}") == [
        "1: basic_auth_users.alice: has the cost 21, so that a login would take minutes; 10 is usual, and 20 the most"
    ]
    assert loaded(tmp_path, f"basic_auth_users: {{alice: {HASH.replace('$04$', '$20$')}}}").basic_auth_users


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "web.yml")
    with pytest.raises(ConfigError, match=r"web.yml: cannot be read: it is a pipe; name a regular file"):
        load_web(tmp_path / "web.yml")
