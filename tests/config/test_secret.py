"""A canary in every place where a secret may stand, or may have been put by mistake: no error and no text shows it."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.config import Config, Secret, Url, load
from ss_pusher.errors import ConfigError
from tests.config.parsing import config, loaded, problems

CANARY = "s3cret"
BLOCK = "remote_write:\n  - url: http://host/\n    "


@pytest.mark.parametrize(
    "text",
    [
        # a user in a URL that is wrong in each way
        f"remote_write: [url: 'ftp://u:{CANARY}@host/']",
        f"remote_write: [url: 'http://u:{CANARY}@/']",
        f"remote_write: [url: 'http://u:{CANARY}@host:99999/']",
        f"remote_write: [url: 'http://u:{CANARY}@host:port/']",
        f"remote_write: [url: 'http://u:{CANARY} @host/']",
        f"remote_write: [url: 'http://u:{CANARY}@[::1/']",
        f"remote_write: [url: 'http://host/{CANARY}#x']",
        f"remote_write: [url: '{CANARY}']",
        f"remote_write: [url: ['http://u:{CANARY}@host/']]",
        f"pushgateway: [url: 'http://u:{CANARY}@host/metrics/job/x']",
        BLOCK + f"proxy_url: 'gopher://u:{CANARY}@proxy'",
        BLOCK + f"oauth2: {{client_id: a, client_secret: {CANARY}, token_url: 'x://u:{CANARY}@h'}}",
        f"remote_write: [{{url: 'http://u:{CANARY}@host/', bearer_token: {CANARY}}}]",
        # a secret of the wrong type, or beside what excludes it
        BLOCK + f"basic_auth: {{username: a, password: [{CANARY}]}}",
        BLOCK + f"basic_auth: {{username: a, password: {{{CANARY}: b}}}}",
        BLOCK + f"basic_auth: {{username: a, password: {CANARY}, password_file: /run/{CANARY}}}",
        BLOCK + f"basic_auth: {{password: {CANARY}}}",
        BLOCK + f"basic_auth: {CANARY}",
        BLOCK + f"basic_auth: [{CANARY}]",
        BLOCK + f"basic_auth: {{{CANARY}}}",
        BLOCK + f"basic_auth: {{{CANARY}: x, {CANARY}: y}}",
        BLOCK + f"basic_auth: {{username: a, username: {CANARY}}}",
        BLOCK + f"authorization: {CANARY}",
        BLOCK + f"authorization: {{type: Bearer {CANARY}}}",
        BLOCK + f"authorization: {{{CANARY}: }}",
        BLOCK + f"authorization: {{credentials: {CANARY}, credentials_file: /run/x}}",
        BLOCK + f"bearer_token: {CANARY}\n    basic_auth: {{username: a, password: {CANARY}}}",
        BLOCK + f"sigv4: {{secret_key: {CANARY}}}",
        BLOCK + f'headers: {{X-Key: "{CANARY}\\n"}}',
        BLOCK + f"headers: {{Authorization: Bearer {CANARY}}}",
        BLOCK + f"headers: [{CANARY}]",
        # a secret with a character that YAML gives a meaning
        BLOCK + f"bearer_token: *{CANARY}",
        BLOCK + f"bearer_token: !{CANARY} x",
        BLOCK + f"bearer_token: !{CANARY}",
        BLOCK + f"bearer_token: &{CANARY}",
        BLOCK + f"bearer_token: @{CANARY}",
        BLOCK + f"bearer_token: {{{CANARY}",
        BLOCK + f'bearer_token: "{CANARY}\\q"',
        BLOCK + f"bearer_token: ${{{CANARY}-}}",
        BLOCK + f"bearer_token: {CANARY}: x",
        # a variable that holds one, where something else is expected
        "interval: ${TOKEN}",
        "spool: {max_bytes: '${TOKEN}'}",
        "collect: {loopback: '${TOKEN}', families: ['${TOKEN}']}",
        "filter: [{keep: {remote_networks: ['${TOKEN}'], service_ports: ['${TOKEN}'], pids: ['${TOKEN}']}}]",
        "limit: {top: [{by: '${TOKEN}', count: 1}]}",
        "metrics: {include: ['${TOKEN} x']}",
        "expose: {listen_address: '${TOKEN}'}",
        BLOCK + "protobuf_message: ${TOKEN}",
    ],
)
def test_no_error_shows_a_secret(text: str) -> None:
    found = problems(text)
    assert found
    assert not [problem for problem in found if CANARY in problem]


def test_a_secret_put_where_a_files_name_belongs_is_not_shown_when_the_file_is_looked_for(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text(BLOCK + f"bearer_token_file: {CANARY}\n")
    with pytest.raises(ConfigError) as caught:
        load(file, check_files=True)
    assert caught.value.problems == [
        f"{file}:3: remote_write[0].bearer_token_file: cannot be read: No such file or directory"
    ]


def test_a_bad_metric_from_a_variable_is_shown_as_it_was_written() -> None:
    found = problems("metrics: {include: ['${TOKEN}']}", metric_names=("ss_flow_sockets",))
    assert found == ["config.yml:1: metrics.include[0]: '${TOKEN}' is no metric of ss_pusher"]


def test_no_warning_shows_a_secret() -> None:
    text = BLOCK + f"basic_auth: {{username: a, password: {CANARY}}}"
    (warning,) = loaded(text, readable_by_all=True).warnings
    assert warning == (
        "config.yml:3: remote_write[0].basic_auth.password: holds a secret, and every user may read this file; "
        "use a file of its own, or chmod o-r"
    )


def everything_secret() -> Config:
    return config(
        f"""\
remote_write:
  - {{url: "http://u:{CANARY}@host/push?token={CANARY}", proxy_url: "http://u:{CANARY}@proxy"}}
  - {{url: "http://a/", basic_auth: {{username: u, password: {CANARY}}}, headers: {{X-Key: {CANARY}}}}}
  - {{url: "http://b/", authorization: {{credentials: {CANARY}}}}}
  - {{url: "http://c/", bearer_token: {CANARY}}}
  - {{url: "http://d/", sigv4: {{access_key: a, secret_key: {CANARY}}}}}
  - url: "http://e/"
    oauth2: {{client_id: a, client_secret: {CANARY}, token_url: "http://t/", endpoint_params: {{k: {CANARY}}}}}
"""
    )


def test_a_printed_configuration_shows_no_secret() -> None:
    found = everything_secret()
    assert CANARY not in repr(found)
    assert CANARY not in f"{found} {found!s} {found.remote_write[0].url} {found.remote_write[0].url!r}"


def test_what_is_hidden_can_be_revealed_for_the_wire() -> None:
    found = everything_secret().remote_write
    assert found[0].url.reveal() == f"http://u:{CANARY}@host/push?token={CANARY}"
    assert found[1].headers["X-Key"].reveal() == CANARY
    assert found[1].basic_auth is not None
    assert found[1].basic_auth.password == Secret(CANARY)


def test_a_url_is_shown_by_what_tells_it_from_others() -> None:
    assert str(Url(f"https://u:{CANARY}@host:8443/push?token={CANARY}")) == "https://host:8443/push"


def test_a_secret_says_that_it_is_hidden() -> None:
    assert f"{Secret(CANARY)} {Secret(CANARY)!r}" == "<hidden> <hidden>"


def test_secrets_are_equal_by_their_text_so_that_a_reload_sees_a_change() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("http://a/") != Url("http://a/")
    assert hash(Secret("a")) == hash(Secret("a"))


@given(st.text(alphabet="abc*&!|>%@`'\"#:{}[],$ \\-?", max_size=12), st.text(alphabet="*&!%@`'\"#:{} \n\\", max_size=4))
def test_no_way_of_writing_a_password_gets_it_into_an_error(before: str, after: str) -> None:
    for problem in problems(BLOCK + f"basic_auth:\n      username: a\n      password: {before}{CANARY}{after}"):
        assert CANARY not in problem


@given(st.text(min_size=8, max_size=30, alphabet=st.characters(categories=["L", "N"])))
def test_a_password_in_a_url_is_never_shown(password: str) -> None:
    for template in ("http://u:{}@host/", "ftp://u:{}@host", "http://u:{}@host:0/", "http://{}@/", "{}"):
        text = yaml.safe_dump({"remote_write": [{"url": template.format(password), "bearer_token": "x"}]})
        assert not [problem for problem in problems(text) if password in problem]
