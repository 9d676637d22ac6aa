"""The agent scraped by a real Prometheus, and its protection compared with that of servers that take the same file."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from ss_pusher.receiver import Receiver
from tests import needs, servers
from tests.command import Running, run, running, written
from tests.send.certificates import Authority
from tests.servers import free_port, labels
from tests.waiting import wait_for

USER, PASSWORD = "scraper", "s3cret pässword"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
WEB = """\
tls_server_config:
  cert_file: server.pem
  key_file: server.key
{tls}
http_server_config:
  headers: {{X-Frame-Options: deny}}
basic_auth_users:
  {user}: {hashed}
  other: {other}
"""


def web_config(directory: Path, tls: str = "", password: str = PASSWORD) -> Path:
    """A web configuration; paths in it are relative to it."""
    hashed, other = (bcrypt.hashpw(text.encode(), bcrypt.gensalt(4)).decode() for text in (password, "other's"))
    file = directory / "web.yml"
    file.touch(mode=0o600)
    file.write_text(WEB.format(tls=tls, user=USER, hashed=hashed.replace("$2b$", "$2y$"), other=other))
    return file


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    authority = Authority(tmp_path)
    authority.sign("server")
    return authority


@contextmanager
def exposing(directory: Path, web: Path | None, **access: Any) -> Iterator[tuple[Running, str]]:
    """An agent that is scraped, and its address; `access` is how requests must come."""
    address = f"127.0.0.1:{free_port()}"
    text = f"""
interval: 100ms
external_labels: {{job: ss_pusher, instance: edge-7}}
collect: {{loopback: true}}
expose: {{listen_address: "{address}", web_config_file: "{web or ""}"}}
"""
    home = directory / "agent"
    home.mkdir()
    with running(home, "agent", "--config", written(home, text)) as agent:
        url = f"http{'s' if web else ''}://{address}/health"
        agent.wait_for(lambda: status(url, **access) == HTTPStatus.OK, "an answer")
        yield agent, address


def access(authority: Authority) -> dict[str, Any]:
    """How requests to it must come."""
    return {"verify": str(authority.file), "auth": (USER, PASSWORD.encode())}


def status(url: str, **access: Any) -> int:
    """An answer's status; 0 where there is none."""
    try:
        return requests.get(url, timeout=10, **access).status_code
    except requests.RequestException:
        return 0


def test_prometheus_scrapes_it_with_tls_and_a_password(tmp_path: Path, authority: Authority) -> None:
    scrape = {
        "scheme": "https",
        "tls_config": {"ca_file": str(authority.file)},
        "basic_auth": {"username": USER, "password": PASSWORD},
    }
    with exposing(tmp_path, web_config(tmp_path), **access(authority)) as (agent, address):
        with servers.prometheus(tmp_path, scrape=[address], scrape_config=scrape) as prometheus:
            ticks = labels("ss_pusher_ticks_total", job="ss_pusher", instance="edge-7", outcome="ok")
            wait_for(lambda: prometheus.query("ss_pusher_ticks_total").get(ticks, 0) > 1, "two ticks", 20)
            assert list(prometheus.query("up").values()) == [1]
            assert (
                prometheus.metadata()["ss_tcp_sent_bytes"][0]["type"] == "counter"
            )  # the family as OpenMetrics has it
            web_config(tmp_path, password="changed")  # noqa: S106 - a test's
            wait_for(lambda: list(prometheus.query("up").values()) == [0], "a refusal", 20)
            reason = prometheus.get("/api/v1/targets").json()["data"]["activeTargets"][0]["lastError"]
            assert reason == "server returned HTTP status 401 Unauthorized"
        assert agent.stop() == 0


@pytest.mark.parametrize("accept", [OPEN_METRICS, "application/openmetrics-text; version=0.0.1", "text/plain"])
def test_promtool_finds_nothing_wrong_with_either_format(tmp_path: Path, accept: str) -> None:
    with exposing(tmp_path, None) as (_, address):
        answer = requests.get(f"http://{address}/metrics", headers={"Accept": accept}, timeout=10)
        assert answer.status_code == HTTPStatus.OK
        assert answer.headers["Content-Type"].startswith(accept)
        text = answer.text
        if "openmetrics" in accept:
            assert list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call] # has no types
            # promtool reads the older format only, which has neither of these
            text = text.removesuffix("# EOF\n").replace("# UNIT", "# ")
        done = subprocess.run(
            [needs.command("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert "error while linting" not in done.stderr
        if "openmetrics" not in accept:
            assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("oracle", "tls"),
    [
        (servers.prometheus, ""),
        (servers.pushgateway, "  min_version: TLS13\n  client_auth_type: RequestClientCert"),
        (servers.pushgateway, "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: authority.pem"),
        (servers.prometheus, "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: authority.pem"),
        (servers.pushgateway, "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n  max_version: TLS12"),
    ],
)
def test_whoever_a_server_of_prometheus_lets_in_by_a_file_is_let_in_here_too_and_nobody_else(
    tmp_path: Path, authority: Authority, oracle: Any, tls: str
) -> None:
    web = web_config(tmp_path, tls)
    own, stranger = authority.sign("client"), Authority(tmp_path, "elsewhere").sign("stranger")
    certificate, strange = ((str(pair.certificate), str(pair.key)) for pair in (own, stranger))
    right = access(authority) | {"cert": certificate}
    with (
        oracle(tmp_path, flags=[f"--web.config.file={web}"], access=right) as server,
        exposing(tmp_path, web, **right) as (_, address),
    ):
        decided = set()
        for how in attempts(str(authority.file), certificate, strange):
            expected = status(f"{server.url}/metrics", **how)
            assert status(f"https://{address}/metrics", **how) == expected, how
            decided.add(expected)
        assert decided == ({0, 200, 401} if "Verify" in tls else {200, 401})
        answers = [
            requests.post(url, timeout=10, **right | {"auth": None}) for url in (server.url, f"https://{address}")
        ]
        assert [answer.status_code for answer in answers] == [401, 401]
        assert requests.get(f"https://{address}/metrics", timeout=10, **right).headers["X-Frame-Options"] == "deny"
        assert status(f"http://{address}/metrics") == 0


def attempts(verify: str, certificate: tuple[str, str], strange: tuple[str, str]) -> Iterator[dict[str, Any]]:
    """Ways to ask, right and wrong."""
    right = PASSWORD.encode()
    for cert in (None, certificate, strange):
        for auth in (None, (USER, right), (USER, "wrong")):
            yield {"verify": verify, "cert": cert, "auth": auth}
    for auth in ((USER, ""), ("nobody", right), ("other", "other's"), ("other", right), ("", "")):
        yield {"verify": verify, "cert": certificate, "auth": auth}
    for header in ("", "Basic", "Basic !!!", "Bearer abc", "basic " + "A" * 4000):
        yield {"verify": verify, "cert": certificate, "headers": {"Authorization": header}}


def test_a_configuration_is_refused_for_what_is_wrong_in_the_file_that_it_names(tmp_path: Path) -> None:
    web = web_config(tmp_path, "  max_version: TLS14")
    config = written(tmp_path, f"expose: {{listen_address: 127.0.0.1:{free_port()}, web_config_file: web.yml}}")
    for command in (("check-config", config), ("agent", "--config", config)):
        done = run(*command)
        assert done.returncode == 2
        assert f"{web}:4: tls_server_config.max_version: 'TLS14' is none of" in done.stderr
    web_config(tmp_path)
    done = run("check-config", config)
    assert done.returncode == 2
    assert f"tls_server_config: cert_file {tmp_path}/server.pem, key_file {tmp_path}/server.key: No such file" in (
        done.stderr
    )
    Authority(tmp_path).sign("server")
    assert run("check-config", config).returncode == 0


def test_curl_is_let_in_by_what_it_knows(tmp_path: Path, authority: Authority) -> None:
    def curl(*arguments: str) -> str:
        command = [
            needs.command("curl"),
            "-sS",
            "--cacert",
            str(authority.file),
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
        ]
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False).stdout

    with exposing(tmp_path, web_config(tmp_path), **access(authority)) as (_, address):
        url = f"https://{address}/metrics"
        who = ("-u", f"{USER}:{PASSWORD}")
        assert curl(url) == "401"
        assert curl(*who, url) == "200"
        assert curl(*who, "--compressed", url) == "200"
        assert curl(*who, "-I", url) == "200"
        assert curl(*who, "-d", "x", url) == "405"
        assert curl(*who, f"https://{address}/") == "404"
        assert curl(*who, "-H", "X: " + "x" * 20_000, url) == "431"
        assert curl(*who, f"http://{address}/metrics") == "000"


def logged(agent: Running, text: str) -> bool:
    return text in agent.logged()


def test_a_reload_takes_the_protection_of_another_file_or_refuses_a_broken_one_whole(
    tmp_path: Path, authority: Authority
) -> None:
    def text(receiver: Receiver, web: str) -> str:
        return f"""
interval: 100ms
external_labels: {{job: test}}
remote_write: [{{url: "{receiver.url}/api/v1/write"}}]
expose: {{listen_address: "{address}", web_config_file: "{web}"}}
"""

    address, verify = f"127.0.0.1:{free_port()}", str(authority.file)
    web = web_config(tmp_path)
    with Receiver() as receiver, running(tmp_path, "agent", "--config", written(tmp_path, text(receiver, ""))) as agent:
        agent.wait_for(lambda: status(f"http://{address}/health") == 200, "an answer")
        for name, problem in (("broken.yml", "unknown key"), ("none.yml", "there is no such file")):
            (tmp_path / "broken.yml").write_text("a: b")
            written(tmp_path, text(receiver, name))
            agent.process.send_signal(1)
            agent.wait_for(partial(logged, agent, problem), "a refusal")
            assert status(f"http://{address}/health") == 200
        written(tmp_path, text(receiver, str(web)))
        agent.process.send_signal(1)
        agent.wait_for(lambda: status(f"https://{address}/health", verify=verify) == 401, "the protection")
        assert status(f"https://{address}/health", verify=verify, auth=(USER, PASSWORD.encode())) in (200, 503)
        assert status(f"http://{address}/health") == 0
        assert agent.stop() == 0
