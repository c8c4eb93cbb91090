"""What README and the guides tell to type works as written, and prints what they show."""

import asyncio
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from simulator import demo
from simulator.centre import build_centre
from simulator.driver import run_history
from simulator.tenant import Access, TenantClient

from tests.flow.suite import Embedded
from tests.guides.pages import MODES, Block, blocks, commands, difference, mode_of, pages, requests
from tests.guides.shell import Shell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]

ADMIN, PASSWORD = "boss", "a-long-password"
"""Whom "bring a customer live" makes, and the password that it chooses; the pages after it go on with them."""
SIMULATED_DAYS = 12
"""Until somebody has left the band that brought a training, which README shows."""


@pytest.fixture(scope="module")
def demo_suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """The demo, with the first days of its history."""
    suite = Embedded(tmp_path_factory.mktemp("demo") / "data", deliver_twice=False)
    try:
        suite.start("--demo", seconds=240)
        asyncio.run(_live_through(suite.url))
        yield suite
    finally:
        suite.stop()


async def _live_through(url: str) -> None:
    start = demo.history_start(datetime.now(UTC).date())
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        access = Access(client, demo.TENANT, demo.PHONE_SYSTEM, demo.PHONE_SYSTEM_SECRET, demo.PASSWORD)
        centre = build_centre(demo.load_blueprint(start)["sections"]["identity"], featured="agent")
        await run_history(TenantClient(access), centre, demo.tenant_start_time(start) + timedelta(days=SIMULATED_DAYS))


@pytest.fixture(scope="module")
def empty_suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    suite = Embedded(tmp_path_factory.mktemp("empty") / "data", deliver_twice=False)
    try:
        suite.start("--no-demo", seconds=240)
        yield suite
    finally:
        suite.stop()


def follow(page: Path, suite: Embedded, folder: Path, said: dict[str, str]) -> None:
    """Types a page's commands in order; `said` is what stands for the words in capitals that a reader replaces."""
    with Shell(
        folder, {"UPLIFT_URL": suite.url, "UPLIFT_PASSWORD": PASSWORD} if said else {"UPLIFT_URL": suite.url}
    ) as shell:
        for block in blocks(page):
            if "not run" in block.notes:
                continue
            if block.language == "sh":
                run(shell, block, re.sub("|".join(said) or "(?!)", lambda found: said[found[0]], block.text))
            elif block.language == "http":
                ask(shell, block)
            else:
                continue
            suite.wait_until_idle()


def run(shell: Shell, block: Block, text: str) -> None:
    typed = shell.run_block(text)
    status = block.notes.get("exit status")
    failed = [each for each in typed.failed if status is None or not each.startswith(f"{status}: ")]
    assert not failed, f"{block.name}: {failed}\n{typed.printed}\n{typed.told}"
    assert status is None or typed.failed, f"{block.name} did not end with status {status}\n{typed.printed}"
    if block.shown:
        assert (wrong := difference(block.shown, typed.printed)) is None, f"{wrong}\n{typed.told}"


def ask(shell: Shell, block: Block) -> None:
    for method, path, body in requests(block):
        data = f"--data {shlex.quote(body)}" if body else ""
        typed = shell.run_block(f".venv/bin/uplift api --as {ADMIN} -X {method} 'identity/v1{path}' {data}")
        if refused := block.notes.get("refused"):
            assert typed.failed, f"{block.name}: {typed.printed}"
            assert refused in typed.told, block.name
        else:
            assert not typed.failed, f"{block.name}: {typed.told}"


def of_mode(mode: str) -> list[pytest.ParameterSet]:
    return [pytest.param(page, id=page.name) for page in pages() if mode_of(page) == mode]


@pytest.mark.parametrize("page", of_mode("demo"))
def test_in_the_demo(page: Path, demo_suite: Embedded, tmp_path: Path) -> None:
    follow(page, demo_suite, tmp_path, {})


@pytest.mark.parametrize("page", of_mode("empty"))
def test_from_an_empty_start(page: Path, empty_suite: Embedded, tmp_path: Path) -> None:
    one_time = re.search(r"--one-time (\S+)", empty_suite.output)
    assert one_time
    follow(page, empty_suite, tmp_path, {"THE-TOKEN": one_time[1]})


def test_every_page_with_commands_says_how_they_are_held() -> None:
    silent = [page.name for page in pages() if commands(page) and mode_of(page) not in MODES]
    assert silent == []
