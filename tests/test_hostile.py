"""What others choose - names, peers, connections - cannot break what is sent, nor make it grow."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from ss_pusher.attribute.names import LONGEST, Names
from ss_pusher.encode import text
from ss_pusher.model import Block, Family, MetricType, Snapshot
from ss_pusher.receiver import Receiver
from tests import needs
from tests.command import running, written

SECURITY = Path(__file__).parent.parent / "SECURITY.md"
HOSTILE = [
    b'quote " and \\ backslash',
    b"two\nlines\r\n# HELP fake 1\nfake 1",
    b"latin \xe9, half a character \xe2\x82, \x00 and \x1b[31m",
    b"}, job=" + b"x" * 4096,
]


def exported(raw: bytes) -> str:
    """What a name of the kernel becomes as the value of a label in a text that was pushed."""
    names = Names()
    name = names.name(names.word(raw.decode(errors="surrogateescape")))
    family = Family("ss_flow_sockets", MetricType.GAUGE, "Sockets.")
    block = Block((family,), ((("command", name),),), np.array([[7.0]]), np.zeros(1, np.int64))
    pushed = text.text(Snapshot(1000, 0, (block,)), {}).decode()
    ((sample,),) = (family.samples for family in text_string_to_metric_families(pushed))
    assert (sample.name, sample.value, list(sample.labels)) == ("ss_flow_sockets", 7, ["command"])
    assert sample.labels["command"] == name
    return name


@pytest.mark.parametrize("raw", HOSTILE)
def test_a_hostile_name_stays_one_value_of_one_label(raw: bytes) -> None:
    assert len(exported(raw)) <= LONGEST


@given(st.binary(max_size=5000))
def test_whatever_bytes_a_name_has_it_stays_one_value_of_one_label(raw: bytes) -> None:
    if raw:
        exported(raw)


def test_nothing_listens_unless_asked(tmp_path: Path) -> None:
    with Receiver() as receiver:
        config = f"interval: 100ms\nremote_write: [{{url: '{receiver.url}/api/v1/write'}}]\n"
        with running(tmp_path, "agent", "--config", written(tmp_path, config)) as agent:
            agent.wait_for(lambda: receiver.requests, "a push")
            command = [needs.command("ss"), "-lnptuH"]
            listening = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            assert f"pid={agent.process.pid}," not in listening
            assert agent.stop() == 0


def test_every_test_that_the_threat_list_names_exists() -> None:
    named = re.findall(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`", SECURITY.read_text())
    assert len(named) > 20
    for file, test in named:
        assert f"def {test}(" in (SECURITY.parent / file).read_text(), f"{file}::{test}"
