"""How values and places are found in a document; the whole schema serves as the example."""

import pytest

from ss_pusher.config import Config
from tests.config.parsing import config, loaded, problems


def test_an_empty_mapping_means_every_default() -> None:
    assert config("{}").collect == Config().collect
    assert config("{}").remote_write == ()


def test_every_problem_is_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
intervall: 15s
interval: 15
external_labels: {data-center: x}
filter:
  - drop: {remote_networks: [10.0.0.1/8]}
  - keep: {service_ports: [9000-8000], colour: [red]}
group: {by: [direction, remote_adress]}
limit: {hold: -1}
remote_write:
  - url: mimir.example
    queue_config:
      max_backoff: soon
  - name: b
"""
    assert problems(text) == [
        "config.yml:1: intervall: unknown key; did you mean interval?",
        "config.yml:2: interval: '15' has no unit; 15s would be right for seconds",
        (
            "config.yml:3: external_labels.data-center: is no label name: letters, digits and _, no digit first; "
            "data_center would be right"
        ),
        "config.yml:5: filter[0].drop.remote_networks[0]: '10.0.0.1/8' has host bits set; 10.0.0.0/8 would be right",
        "config.yml:6: filter[1].keep.service_ports[0]: '9000-8000' runs backwards; 8000-9000 would be right",
        (
            "config.yml:6: filter[1].keep.colour: unknown key; here may stand directions, remote_networks, "
            "local_networks, hosts, service_ports, local_ports, remote_ports, "
            "units, cgroups, containers, pods, pids, commands, users, "
            "uids, interfaces, families, congestions, states, namespaces, marks"
        ),
        (
            "config.yml:7: group.by[1]: 'remote_adress' is none of direction, local_address, local_port, "
            "remote_address, remote_network, remote_port, service_port, "
            "unit, cgroup, container, pod, pid, command, user, interface, "
            "family, congestion, namespace; did you mean remote_address?"
        ),
        "config.yml:8: limit.hold: must be at least 0",
        "config.yml:10: remote_write[0].url: does not begin with http:// or https://",
        "config.yml:12: remote_write[0].queue_config.max_backoff: 'soon' is no duration; write one like 30s or 1h30m",
        "config.yml:13: remote_write[1]: lacks url",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("interval: [15s]", "interval: expects a single value (duration), not a list"),
        ("interval: {s: 15}", "interval: expects a single value (duration), not a mapping"),
        ("collect: yes", "collect: expects a mapping, not a single value"),
        ("collect: [x]", "collect: expects a mapping, not a list"),
        ("filter: {keep: {}}", "filter: expects a list, not a mapping"),
        ("filter: all", "filter: expects a list, not a single value"),
        ("external_labels: [a]", "external_labels: expects a mapping, not a list"),
        ("external_labels: {a: [b]}", "external_labels.a: expects a single value (text), not a list"),
        ("limit: {hold: 1.5}", "limit.hold: '1.5' is no whole number"),
        ("collect: {loopback: 1}", "collect.loopback: '1' is neither true nor false"),
    ],
)
def test_a_wrong_type_is_told_the_right_one(text: str, problem: str) -> None:
    assert problems(text) == [f"config.yml:1: {problem}"]


@pytest.mark.parametrize("text", ["interval:", "interval: ~", "filter:", "group: null", "filter: [keep: ]"])
def test_a_key_without_a_value_is_a_mistake_and_no_default(text: str) -> None:
    (problem,) = problems(text)
    assert problem.endswith("has no value; give it one, or remove it")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("interval: !!int 15s", ""),
        ("interval: !!python/object:os.system 15s", "interval: has a tag; write the value without it"),
        ("interval: !duration 15s", "interval: has a tag; write the value without it"),
        ("collect: !!set {loopback}", "collect: expects a mapping, not a value with a tag"),
        ("filter: !x []", "filter: expects a list, not a value with a tag"),
        ("!!set {interval}", "expects a mapping, not a value with a tag"),
    ],
)
def test_tags_have_no_meaning_beyond_yamls_own(text: str, problem: str) -> None:
    assert problems(text) == ([f"config.yml:1: {problem}"] if problem else [])


def test_quotes_and_yaml_types_do_not_change_a_text() -> None:
    labels = config("external_labels: {a: no, b: 010, c: 1.50, d: '7', e: 2024-01-01, f: 1:30}").external_labels
    assert labels == {"a": "no", "b": "010", "c": "1.50", "d": "7", "e": "2024-01-01", "f": "1:30"}


def test_quoted_numbers_are_numbers_where_one_is_expected() -> None:
    text = (
        'filter: [{keep: {service_ports: ["443", 80, "8000-8999"]}}]\nlimit: {hold: "7"}\ncollect: {loopback: "true"}'
    )
    found = config(text)
    assert found.filter[0].conditions.service_ports == ((443, 443), (80, 80), (8000, 8999))
    assert (found.limit.hold, found.collect.loopback) == (7, True)


def test_repeated_keys_are_mistakes_in_sections_and_mappings() -> None:
    assert problems("interval: 1s\ninterval: 2s\nexternal_labels:\n  a: b\n  c: d\n  a: e\n") == [
        "config.yml:2: interval: stands in line 1 already",
        "config.yml:6: external_labels.a: stands in line 4 already",
    ]


@pytest.mark.parametrize("text", ["{[a, b]: c}", "{{a: b}: c}", "a: &x {}\n<<: *x"])
def test_keys_are_plain_texts(text: str) -> None:
    assert any("has a key that is no plain text" in problem for problem in problems(text))


def test_anchors_may_be_used_to_say_a_thing_once() -> None:
    text = """\
remote_write:
  - {url: "http://a/", basic_auth: &auth {username: edge, password_file: /run/p}}
  - {url: "http://b/", basic_auth: *auth}
"""
    first, second = config(text).remote_write
    assert first.basic_auth == second.basic_auth


def test_aliases_cannot_make_a_small_file_large() -> None:
    text = "filter: [keep: &a {units: [" + "x, " * 1000 + "x]}" + ", keep: *a" * 1000 + "]"
    assert problems(text) == ["config.yml:1: aliases make more than 100000 values of this file"]


def test_a_recursive_alias_ends_in_an_error() -> None:
    assert problems("collect: &c {families: *c, loopback: *c}") == [
        "config.yml:1: collect.families: expects a list, not a mapping",
        "config.yml:1: collect.loopback: expects a single value (`true` or `false`), not a mapping",
    ]


def test_variables_expand_in_values_of_every_type_and_in_no_key() -> None:
    text = "interval: ${NONE:-30s}\nlimit: {hold: '${NONE:-9}'}\nfilter: [{keep: {service_ports: ['${PORT}']}}]"
    found = config(text)
    assert (found.interval, found.limit.hold) == (30, 9)
    assert found.filter[0].conditions.service_ports == ((8443, 8443),)
    assert config('external_labels: {instance: "${HOSTNAME}-a", cost: 5$$}').external_labels == {
        "instance": "edge-7-a",
        "cost": "5$",
    }
    assert problems("external_labels: {'${HOSTNAME}': a}") == [
        "config.yml:1: external_labels['${HOSTNAME}']: is no label name: letters, digits and _, no digit first"
    ]


def test_an_unset_variable_is_told_its_place() -> None:
    assert problems("interval: 5s\nshutdown_deadline: ${NOWHERE}") == [
        (
            "config.yml:2: shutdown_deadline: uses the variable NOWHERE, which is not set; set it, or write "
            "${NOWHERE:-default}"
        )
    ]


def test_a_bad_value_from_a_variable_is_shown_as_it_was_written() -> None:
    assert problems("interval: ${TOKEN}") == [
        "config.yml:1: interval: '${TOKEN}' is no duration; write one like 30s or 1h30m"
    ]


def test_a_long_value_is_cut_and_control_characters_are_escaped() -> None:
    (problem,) = problems('interval: "\\e[31m' + "x" * 1000 + '"')
    assert "\x1b" not in problem
    assert len(problem) < 200  # the value is cut after 60 characters


def test_prometheus_keys_without_effect_are_warnings_and_the_dangerous_ones_errors() -> None:
    head = "remote_write:\n  - url: http://a/\n"
    assert loaded(head + "    queue_config: {capacity: 5}\n    send_exemplars: true\n").warnings == (
        (
            "config.yml:3: remote_write[0].queue_config.capacity: has no effect here: the queue is bounded by "
            "spool.max_bytes and spool.max_age"
        ),
        "config.yml:4: remote_write[0].send_exemplars: has no effect here: there are no exemplars to send",
    )
    assert problems(head + "    write_relabel_configs: []\n") == [
        (
            "config.yml:3: remote_write[0].write_relabel_configs: is not taken: series are chosen by filter, group and "
            "metrics"
        )
    ]


def test_relative_paths_begin_at_the_configuration() -> None:
    text = "remote_write: [{url: 'http://a/', tls_config: {ca_file: ca.pem}}]\nspool: {directory: /var/spool/x}"
    found = config(text)
    assert str(found.remote_write[0].tls_config.ca_file) == "/etc/ss-pusher/ca.pem"
    assert str(found.spool.directory) == "/var/spool/x"
    assert config("spool: {directory: ''}").spool.directory is None
