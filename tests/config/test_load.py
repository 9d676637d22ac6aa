"""A file, whatever is wrong with it."""

import os
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ss_pusher.config import load
from ss_pusher.config.sample import sample
from ss_pusher.errors import ConfigError
from tests.config.parsing import loaded, problems

NOBODY = 65534
METRICS = ("ss_flow_rtt_seconds", "ss_flow_sockets", "ss_tcp_sockets")


def refusal(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path)
    return caught.value.problems


def test_a_file_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text("interval: ${EVERY}\n")
    assert load(file, environment={"EVERY": "20s"}).config.interval == 20


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.yml") == [f"{tmp_path}/none.yml: there is no such file"]


def test_a_directory_is_said(tmp_path: Path) -> None:
    assert refusal(tmp_path) == [f"{tmp_path}: cannot be read: it is a directory; name a regular file"]


def test_a_path_through_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert refusal(tmp_path / "a" / "b") == [f"{tmp_path}/a/b: cannot be read: Not a directory"]


def test_an_unreadable_file_is_said(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.touch(mode=0o000)
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)  # root may read everything
    try:
        assert refusal(file) == [f"{file}: may not be read by this user"]
    finally:
        os.seteuid(user)


def test_a_device_that_never_ends_is_refused() -> None:
    assert refusal(Path("/dev/zero")) == ["/dev/zero: cannot be read: it is a device; name a regular file"]


def test_files_of_secrets_may_come_later_unless_they_are_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text(
        """\
remote_write:
  - url: http://a/
    basic_auth: {username: edge, password_file: missing}
    tls_config: {ca_file: /nowhere/ca.pem, cert_file: there, key_file: folder}
"""
    )
    (tmp_path / "there").touch()
    (tmp_path / "folder").mkdir()
    assert load(file).config.remote_write
    with pytest.raises(ConfigError) as caught:
        load(file, check_files=True)
    assert caught.value.problems == [
        f"{file}:3: remote_write[0].basic_auth.password_file: cannot be read: No such file or directory",
        f"{file}:4: remote_write[0].tls_config.ca_file: '/nowhere/ca.pem' cannot be read: No such file or directory",
        f"{file}:4: remote_write[0].tls_config.key_file: cannot be read: it is a directory; name a regular file",
    ]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.yml")
    assert refusal(tmp_path / "config.yml") == [
        f"{tmp_path}/config.yml: cannot be read: it is a pipe; name a regular file"
    ]


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b" \n", "it is empty"),
        (b"pass\0word", "it holds more than one line, or control characters"),
        (b"\xff\xfe", "it is not UTF-8 text"),
        (b"x" * (1 << 17), "it is larger than 64 KiB, which no such file is"),
        (None, "it is a pipe; name a regular file"),
    ],
)
def test_a_secret_that_no_request_could_bear_is_found_when_files_are_checked(
    tmp_path: Path, content: bytes | None, wrong: str
) -> None:
    file = tmp_path / "config.yml"
    file.write_text("remote_write:\n  - {url: 'http://a/', basic_auth: {username: edge, password_file: password}}\n")
    if content is None:
        os.mkfifo(tmp_path / "password")
    else:
        (tmp_path / "password").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(file, check_files=True)
    assert caught.value.problems == [f"{file}:2: remote_write[0].basic_auth.password_file: cannot be read: {wrong}"]


def test_a_certificate_is_no_secret_of_one_line(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text("remote_write: [{url: 'http://a/', tls_config: {ca_file: ca.pem}}]\n")
    (tmp_path / "ca.pem").write_bytes(b"caf\xe9\n-----BEGIN CERTIFICATE-----\n")
    assert load(file, check_files=True)


def test_a_spool_that_others_could_replace_is_found_when_files_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text("remote_write: [{url: 'http://a/'}]\nspool: {directory: spool}\n")
    assert load(file, check_files=True)  # it is made at the start
    (tmp_path / "spool").mkdir()
    assert load(file, check_files=True)
    (tmp_path / "spool").chmod(0o777)
    assert load(file, check_files=True).warnings == (
        (
            f"{file}:2: spool.directory: is not safe: others may write to {tmp_path}/spool "
            "(its mode is 0777); chmod go-w would be right"
        ),
    )


def test_a_file_that_everyone_may_read_should_hold_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text("remote_write: [{url: 'http://user:password@host/'}]\n")
    file.chmod(0o644)
    assert load(file).warnings == (
        (
            f"{file}:1: remote_write[0].url: holds a secret, and every user may read this file; use a file of its own, "
            "or chmod o-r"
        ),
    )
    file.chmod(0o640)
    assert load(file).warnings == ()
    file.chmod(0o644)
    file.write_text("remote_write: [{url: 'http://host/', bearer_token: '${TOKEN}'}]\n")
    assert load(file, environment={"TOKEN": "x"}).warnings == ()


def test_metrics_are_checked_against_those_there_are() -> None:
    text = """\
limit: {top: [{by: ss_flow_rtt_second, count: 1}, {by: ss_flow_rtt_seconds, count: 1}, {by: rtt, count: 1}]}
metrics: {include: [ss_flow_*, ss_flow_x*], exclude: [ss_tcp_socket]}
"""
    assert problems(text, metric_names=METRICS) == [
        (
            "config.yml:1: limit.top[0].by: 'ss_flow_rtt_second' is no metric of ss_pusher; "
            "did you mean ss_flow_rtt_seconds?"
        ),
        "config.yml:2: metrics.include[1]: 'ss_flow_x*' is no metric of ss_pusher; did you mean ss_flow_sockets?",
        "config.yml:2: metrics.exclude[0]: 'ss_tcp_socket' is no metric of ss_pusher; did you mean ss_tcp_sockets?",
    ]
    assert problems(text) == []


def test_settings_without_effect_are_warnings() -> None:
    text = """\
group: {by: [remote_network]}
pushgateway: [{url: "http://a/", linger: 30s}]
"""
    assert loaded(text).warnings == (
        "config.yml:1: group.by: names remote_network, which is empty without group.networks",
        "config.yml:2: pushgateway[0].linger: has no effect without on_exit: delete",
    )


EVERYTHING: dict[str, Any] = yaml.safe_load(
    r"""
interval: 15s
external_labels: {job: a, dc: b}
collect: {families: [ipv4], loopback: true, closed_flows: false, namespaces: [self]}
filter:
  - drop: {remote_networks: [10.0.0.0/8], local_networks: ["::1"], hosts: [a.example], states: [listen]}
  - keep:
      directions: [in]
      service_ports: [443, 8000-8999]
      local_ports: [1]
      remote_ports: [2]
      units: [a]
      cgroups: [a]
      containers: [a]
      pods: [a]
      pids: [1]
      commands: [a]
      users: [a]
      uids: [0]
      interfaces: [a]
      families: [ipv6]
      congestions: [bbr]
      namespaces: [a]
      marks: [31]
group: {by: [direction, remote_address, remote_network], networks: {office: [10.0.0.0/8]}, prefix: {ipv4: 32, ipv6: 64}}
limit:
  top: [{by: rtt, count: 5}]
  hold: 4
  max_series: 100
  max_new_series_per_hour: 100
  max_values: {remote_address: 5}
  aggregate: {ipv4: 24, ipv6: 48}
metrics: {preset: all, include: [ss_flow_*], exclude: [ss_tcp_sockets]}
remote_write:
  - url: http://u:p@host/
    name: a
    remote_timeout: 3s
    protobuf_message: auto
    headers: {X-A: b}
    tls_config: {ca_file: a, cert_file: b, key_file: c, server_name: d, insecure_skip_verify: true, min_version: TLS12}
    proxy_url: http://proxy
    no_proxy: a,b
    send_native_histograms: true
    stale_on_exit: true
    follow_redirects: false
    queue_config:
      max_samples_per_send: 5
      max_bytes_per_send: 1MB
      batch_send_deadline: 1s
      min_backoff: 1s
      max_backoff: 2s
      sample_age_limit: 1h
      capacity: 1
  - {url: http://host/, basic_auth: {username: a, password: b}}
  - {url: http://host/, basic_auth: {username_file: a, password_file: b}}
  - {url: http://host/, authorization: {type: Bearer, credentials: b}}
  - {url: http://host/, authorization: {credentials_file: b}}
  - {url: http://host/, bearer_token: a}
  - {url: http://host/, bearer_token_file: a}
  - {url: http://host/, sigv4: {region: a, access_key: b, secret_key: c, profile: d, role_arn: e}}
  - url: http://host/
    oauth2:
      client_id: a
      client_secret: b
      token_url: http://t/
      scopes: [a]
      endpoint_params: {a: b}
      tls_config: {ca_file: a}
pushgateway: [{url: http://host/, job: a, grouping_key: {instance: ""}, timeout: 1s, on_exit: delete, linger: 1s}]
expose: {listen_address: 127.0.0.1:8090}
spool: {directory: a, max_bytes: 1MiB, max_age: 1h}
shutdown_deadline: 5s
"""
)


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[Any] = list(value.items()) if isinstance(value, dict) else []
    inner += list(enumerate(value)) if isinstance(value, list) else []
    return [way, *(place for key, member in inner for place in places(member, (*way, key)))]


def with_value_at(value: Any, way: tuple[Any, ...], new: Any) -> Any:
    if not way:
        return new
    copied = value.copy()
    copied[way[0]] = with_value_at(value[way[0]], way[1:], new)
    return copied


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates() | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10) | st.integers(), inner, max_size=4)
    ),
    max_leaves=6,
)


def test_the_file_with_everything_is_right() -> None:
    assert problems(yaml.safe_dump(EVERYTHING)) == []


@given(st.sampled_from(places(EVERYTHING)), ANYTHING)
@example((), None)
@example(("limit", "hold"), 10**30)
@example(("external_labels",), {1: 2})
@example(("group", "networks"), {"": []})
def test_any_value_in_any_place_is_accepted_or_a_config_error(way: tuple[Any, ...], value: object) -> None:
    text = yaml.safe_dump(with_value_at(EVERYTHING, way, value), allow_unicode=True)
    assert all(problem.startswith("config.yml") for problem in problems(text))


@given(st.integers(0, 6000), st.text(alphabet=string.printable, max_size=6), st.integers(0, 20))
def test_any_damage_to_the_text_is_accepted_or_a_config_error(at: int, inserted: str, removed: int) -> None:
    text = sample()
    assert all(problem.startswith("config.yml") for problem in problems(text[:at] + inserted + text[at + removed :]))
