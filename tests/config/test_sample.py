"""The files made from the schema: current, and true."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ss_pusher.config import Config
from ss_pusher.config.reference import reference
from ss_pusher.config.sample import sample
from tests.config.parsing import config, loaded, problems

ROOT = Path(__file__).parents[2]


def enabled(text: str) -> str:
    """The sample with what stands in it behind a # without a space."""
    return re.sub(r"^( *)#(?! \S|$)", r"\1", text, flags=re.MULTILINE)


@pytest.mark.parametrize(("name", "text"), [("config.sample.yml", sample()), ("docs/configuration.md", reference())])
def test_the_committed_file_is_current(name: str, text: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == text, "run `make docs`"


def test_the_command_of_make_docs_writes_both(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    subprocess.run([sys.executable, "-m", "ss_pusher.config"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, check=True)
    assert (tmp_path / "config.sample.yml").read_text(encoding="utf-8") == sample()
    assert (tmp_path / "docs" / "configuration.md").read_text(encoding="utf-8") == reference()


def test_the_sample_is_a_right_configuration_that_sends_to_this_host_only() -> None:
    found = loaded(sample(), readable_by_all=True)
    assert found.warnings == ()
    assert [endpoint.url.reveal() for endpoint in found.config.remote_write] == ["http://127.0.0.1:9090/api/v1/write"]
    assert found.config.pushgateway == ()
    assert found.config.expose.listen_address is None


def test_every_key_that_stands_in_the_sample_has_its_default() -> None:
    found = config(sample())
    default = config("remote_write: [url: 'http://127.0.0.1:9090/api/v1/write']")
    assert found.external_labels == {"job": "ss_pusher", "instance": "edge-7"}
    for name in Config.__struct_fields__:
        if name != "external_labels":
            assert getattr(found, name) == getattr(default, name), name


def test_what_stands_in_the_sample_as_a_comment_is_right_too() -> None:
    text = enabled(sample()).replace("${CREDENTIALS_DIRECTORY}", "/run/credentials")
    one_identity = "remote_write[0].authorization: does not go together with basic_auth; give one of them"
    assert [problem.partition(": ")[2] for problem in problems(text)] == [one_identity]
    found = config(text.replace("    authorization:", "    #"))
    assert found.pushgateway[0].url.reveal() == "http://127.0.0.1:9091"
    assert found.limit.max_values == {"remote_address": 500}
    assert len(found.filter) == 3


def test_the_sample_is_fit_to_read() -> None:
    lines = sample().splitlines()
    assert max(len(line) for line in lines) <= 120
    assert len(lines) < 200
    keys = [number for number, line in enumerate(lines) if re.match(r" *#?(?! )(- )?[a-z_]+:", line)]
    uncommented = [lines[number] for number in keys if not re.match(r"#? *# ", lines[number - 1])]
    assert uncommented == []
