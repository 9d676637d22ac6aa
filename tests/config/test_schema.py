"""The rules between keys, and what the schema must agree with."""

from os import uname
from typing import get_args

import pytest
from msgspec.structs import fields

from ss_pusher.config import Config
from ss_pusher.config.describe import keys
from ss_pusher.config.endpoint import Endpoint, Pushgateway, RemoteWrite
from ss_pusher.config.filter import Conditions, State
from ss_pusher.config.group import GroupLabel
from ss_pusher.config.reference import reference
from ss_pusher.config.section import Section, shape
from ss_pusher.model import TcpState
from tests.config.parsing import config, problems


def sections(root: type[Section] = Config) -> set[type[Section]]:
    return {root} | {below for key in fields(root) for below in _below(key.type)}


def _below(wanted: object) -> set[type[Section]]:
    base = shape(wanted).base
    inner = [part for part in (base, *get_args(base)) if isinstance(part, type)]
    return {below for part in inner if issubclass(part, Section) for below in sections(part)}


def test_by_default_a_host_is_told_from_the_others() -> None:
    assert config("{}").external_labels == {"job": "ss_pusher", "instance": uname().nodename}
    assert config("pushgateway: [url: http://a/]").pushgateway[0].grouping_key == {"instance": uname().nodename}


def test_without_a_sink_nothing_leaves_the_host() -> None:
    assert not config("{}").has_sink()
    assert config("remote_write: [url: http://a/]").has_sink()
    assert config("pushgateway: [url: http://a/]").has_sink()
    assert config("expose: {listen_address: 127.0.0.1:8090}").has_sink()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("filter: [{}]", "filter[0]: needs keep or drop"),
        ("filter: [{keep: {}, drop: {}}]", "filter[0].drop: does not go together with keep; give one of them"),
        ("filter: [{keep: {units: []}}]", "filter[0].keep.units: is an empty list; name at least one, or remove it"),
        ("group: {by: []}", "group.by: is an empty list; name at least one, or remove it"),
        ("group: {by: [unit, direction, unit]}", "group.by: names unit 2 times"),
        (
            "group: {networks: {other: [10.0.0.0/8]}}",
            "group.networks.other: is the name of the remainder; choose another",
        ),
        ("group: {networks: {a: []}}", "group.networks.a: is an empty list; name at least one, or remove it"),
        ("group: {networks: {'': [10.0.0.0/8]}}", "group.networks['']: is empty"),
        (
            "group: {networks: {a: [10.0.0.0/8], b: [10.0.0.0/8]}}",
            "group.networks.b: holds 10.0.0.0/8, which a holds already",
        ),
        ("group: {prefix: {ipv4: 33}}", "group.prefix.ipv4: must be at most 32"),
        ("limit: {top: [{by: rtt, count: 1}, {by: rtt, count: 2}]}", "limit.top: ranks by rtt 2 times"),
        ("limit: {top: [{by: rtt, count: 0}]}", "limit.top[0].count: must be more than 0"),
        ("limit: {max_series: 0}", "limit.max_series: must be more than 0"),
        ("limit: {max_values: {pid: 5}}", "limit.max_values.pid: is not in group.by"),
        ("limit: {max_values: {unit: 0}}", "limit.max_values.unit: must be more than 0"),
        (
            "limit: {aggregate: {ipv4: 24}}\ngroup: {prefix: {ipv4: 24}}",
            "limit.aggregate.ipv4: must be less than the 24 of group.prefix",
        ),
        (
            "limit: {aggregate: {ipv6: 48}}\ngroup: {by: [unit]}",
            "limit.aggregate.ipv6: needs remote_address in group.by",
        ),
        (
            "external_labels: {unit: x}",
            "external_labels.unit: is also in group.by; give one of them another name",
        ),
        (
            "external_labels: {dc: '${EMPTY}'}",
            "external_labels.dc: is empty, which means no label at all; leave it out",
        ),
        ("interval: 0s", "interval: must be at least 10ms"),
        ("interval: 9ms", "interval: must be at least 10ms"),
        ("interval: 99y", "interval: must be at most 1d"),
        ('external_labels: {a: "b\\0"}', "external_labels.a: holds a NUL character, which servers refuse or cut"),
        (
            "limit: {max_series: 99999999999999999999}",
            "limit.max_series: '99999999999999999999' is too large; whole numbers go up to 999999999999999999",
        ),
        (
            "spool: {max_bytes: 9999999999999GiB}",
            "spool.max_bytes: '9999999999999GiB' is too large; at most 12 digits may stand before the unit",
        ),
        ("shutdown_deadline: 0", "shutdown_deadline: must be more than 0s"),
        ("spool: {max_bytes: 0}", "spool.max_bytes: must be more than 0B"),
    ],
)
def test_values_at_odds_are_told(text: str, problem: str) -> None:
    assert problems(text) == [f"config.yml:1: {problem}"]


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("basic_auth: {password: a}", ".basic_auth: needs username or username_file"),
        (
            "basic_auth: {username: u, password: a, password_file: b}",
            ".basic_auth.password_file: does not go together with password; give one of them",
        ),
        ("authorization: {}", ".authorization: needs credentials or credentials_file"),
        ("authorization: {type: Basic, credentials: a}", ".authorization.type: is what basic_auth is for; use that"),
        (
            "authorization: {credentials: a, credentials_file: b}",
            ".authorization.credentials_file: does not go together with credentials; give one of them",
        ),
        (
            "authorization: {credentials: a}, bearer_token: b",
            ".bearer_token: does not go together with authorization; give one of them",
        ),
        ("sigv4: {}, bearer_token: b", ".sigv4: does not go together with bearer_token; give one of them"),
        ("sigv4: {access_key: a}", ".sigv4.access_key: needs secret_key beside it"),
        ("tls_config: {key_file: a}", ".tls_config.key_file: needs cert_file beside it"),
        (
            "tls_config: {min_version: TLS14}",
            ".tls_config.min_version: 'TLS14' is none of TLS10, TLS11, TLS12, TLS13; did you mean TLS13?",
        ),
        ("oauth2: {client_id: a, token_url: http://t/}", ".oauth2: needs client_secret or client_secret_file"),
        ("queue_config: {min_backoff: 2s, max_backoff: 1s}", ".queue_config.max_backoff: is shorter than min_backoff"),
        ("headers: {Host: a}", ".headers.Host: is a header that the sender sets itself"),
    ],
)
def test_endpoints_at_odds_with_themselves_are_told(block: str, problem: str) -> None:
    assert problems(f"remote_write: [{{url: http://a/, {block}}}]") == [f"config.yml:1: remote_write[0]{problem}"]


def test_a_user_in_the_url_is_one_way_to_say_who_sends() -> None:
    assert problems("pushgateway: [{url: 'http://u:p@a/', authorization: {credentials: b}}]") == [
        "config.yml:1: pushgateway[0].authorization: does not go together with the user in url; give one of them"
    ]


def test_a_pushgateways_url_is_not_a_groups() -> None:
    assert problems("pushgateway: [{url: 'http://a/metrics/job/b', grouping_key: {job: c}}]") == [
        (
            "config.yml:1: pushgateway[0].url: names a group; give the Pushgateway's own URL, and the group in job and "
            "grouping_key"
        ),
        "config.yml:1: pushgateway[0].grouping_key.job: stands in the key job already; leave it out here",
    ]


def test_endpoints_have_names_of_their_own() -> None:
    first, *others = ("{url: http://a/, name: x}", "{url: http://b/}", "{url: http://c/}", "{url: http://d/, name: x}")
    text = "\n- ".join(["remote_write:", first, *others])
    assert problems(text) == ["config.yml:5: remote_write[3].name: is the name of an earlier block too; choose another"]


def test_repeats_in_a_list_are_found_beside_an_element_that_is_wrong() -> None:
    assert problems(
        "group: {by: [unti, unit, pid, pid]}\nlimit: {top: [{by: rtt, count: 0}, {by: flows, count: 1}]}"
    ) == [
        f"config.yml:1: group.by[0]: 'unti' is none of {', '.join(get_args(GroupLabel))}; did you mean unit?",
        "config.yml:1: group.by: names pid 2 times",
        "config.yml:2: limit.top[0].count: must be more than 0",
    ]
    blocks = "remote_write:\n- {url: ''}\n- {url: http://a/, name: x}\n- {url: ''}\n- {url: http://b/, name: x}"
    found = problems(blocks)
    assert "config.yml:5: remote_write[3].name: is the name of an earlier block too; choose another" in found
    assert len(found) == 3


def test_rules_between_keys_wait_for_a_list_that_is_wrong() -> None:
    (found,) = problems("group: {by: [unti]}\nlimit: {max_values: {unit: 5}}")
    assert "group.by[0]: 'unti' is none of" in found


def test_rules_between_sections_hold_even_where_their_neighbours_are_wrong() -> None:
    assert problems("group: {by: [unit], prefix: {ipv4: 99}}\nlimit: {max_values: {pid: 5}, hold: x}") == [
        "config.yml:1: group.prefix.ipv4: must be at most 32",
        "config.yml:2: limit.hold: 'x' is no whole number",
        "config.yml:2: limit.max_values.pid: is not in group.by",
    ]


def test_a_wrong_entry_of_a_mapping_hides_no_other() -> None:
    text = "external_labels: {0a: x, unit: y, b: ''}\ngroup: {by: [unit], networks: {a: [x], other: [10.0.0.0/8]}}"
    assert problems(text) == [
        "config.yml:1: external_labels.0a: is no label name: letters, digits and _, no digit first",
        "config.yml:1: external_labels.unit: is also in group.by; give one of them another name",
        "config.yml:1: external_labels.b: is empty, which means no label at all; leave it out",
        "config.yml:2: group.networks.a[0]: 'x' is no network; write one like 10.0.0.0/8 or fd00::/8",
        "config.yml:2: group.networks.other: is the name of the remainder; choose another",
    ]


def test_a_rule_tells_whether_it_keeps_and_what() -> None:
    keep, drop = config("filter: [{keep: {}}, {drop: {marks: [0x10]}}]").filter
    assert (keep.keeps, keep.conditions) == (True, Conditions())
    assert (drop.keeps, drop.conditions.marks) == (False, (16,))


def test_a_block_of_prometheus_can_be_pasted() -> None:
    text = """\
remote_write:
  - url: https://prometheus.example/api/v1/write
    remote_timeout: 30s
    name: main
    send_exemplars: true
    send_native_histograms: true
    headers: {X-Scope-OrgID: team-a}
    authorization: {type: Bearer, credentials_file: /run/token}
    tls_config: {ca_file: /etc/ca.pem, server_name: prometheus, insecure_skip_verify: false, min_version: TLS13}
    proxy_url: http://proxy:3128
    no_proxy: 10.0.0.0/8,.example
    follow_redirects: true
    enable_http2: true
    queue_config:
      capacity: 10000
      max_shards: 50
      min_shards: 1
      max_samples_per_send: 2000
      batch_send_deadline: 5s
      min_backoff: 30ms
      max_backoff: 5s
      retry_on_http_429: true
      sample_age_limit: 0s
    metadata_config: {send: true, send_interval: 1m}
"""
    (endpoint,) = config(text).remote_write
    assert (endpoint.name, endpoint.remote_timeout, endpoint.queue_config.min_backoff) == ("main", 30, 0.03)


def test_the_states_are_those_of_the_kernel() -> None:
    assert set(get_args(State)) == {state.name.lower() for state in TcpState}


def test_every_key_is_described() -> None:
    undescribed = {
        f"{section.__name__}.{key.name}" for section in sections() for key in keys(section) if not key.description
    }
    assert undescribed == set()


def test_every_section_has_a_chapter_that_lists_its_keys() -> None:
    found = {section for section in sections() if section is not Endpoint}
    assert {RemoteWrite, Pushgateway, Conditions} <= found
    assert reference().count("\n## ") == len(found) + 1  # and the one on how values are written
    for section in found:
        for key in keys(section):
            assert f"| `{key.name}` |" in reference()
