"""The settings of Kafka's container, taken by a Kafka of the same version."""

import re
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from testkit.fixtures import started_or_skipped
from testkit.programs import free_port
from testkit.programs.kafka import CURE, jars_folder
from testkit.programs.program import Program, find_tool, is_listening, run_tool

from tests.compose.conftest import Project

NOT_SETTINGS = {"KAFKA_HEAP_OPTS"}


@pytest.mark.slow
async def test_a_broker_starts_with_them_and_is_reached_by_the_address_it_gives(
    project: Project, tmp_path: Path
) -> None:
    environment = project["services"]["kafka"]["environment"]
    (port,) = project["services"]["kafka"]["ports"]
    ports = {each: str(free_port()) for each in ("19092", "29093", str(port["target"]))}
    settings = {
        # As the image's start script names them.
        name.removeprefix("KAFKA_").lower().replace("_", "."): _here(value, ports)
        for name, value in environment.items()
        if name.startswith("KAFKA_") and name not in NOT_SETTINGS
    }
    settings["log.dirs"] = str(tmp_path / "data")
    file = tmp_path / "server.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    jars = started_or_skipped(jars_folder)
    java = [find_tool("java", CURE), *environment["KAFKA_HEAP_OPTS"].split(), "-cp", f"{jars}/*"]
    format_it = ["kafka.tools.StorageTool", "format", "-t", environment["CLUSTER_ID"], "-c", str(file)]
    run_tool([*java, *format_it], cwd=tmp_path, seconds=90)
    outside = int(ports[str(port["target"])])
    broker = Program(
        "Kafka",
        [*java, "kafka.Kafka", str(file)],
        log=tmp_path / "log",
        ready=lambda: is_listening(outside),
        cwd=tmp_path,
    )
    try:
        broker.start()
        admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{outside}")
        await admin.start()
        try:
            found = await admin.describe_cluster()
        finally:
            await admin.close()
        assert [(each["host"], each["port"]) for each in found["brokers"]] == [("127.0.0.1", outside)]
        assert found["cluster_id"] == environment["CLUSTER_ID"]
    finally:
        broker.kill()


def _here(value: str, ports: dict[str, str]) -> str:
    """Container names and ports become ones of this machine."""
    value = re.sub(r"(?<=[@/])(kafka)?(?=:\d)", "127.0.0.1", value)
    return re.sub(r"(?<=:)(\d+)\b", lambda found: ports.get(found[1], found[1]), value)
