"""The real stack as plain processes: PostgreSQL, Kafka, MongoDB, Keycloak, the services by role, Envoy, Prometheus.

Tests start it on free ports, kill its parts and start them again. `python -m testkit.stack` runs it on `USUAL_PORTS`.
"""

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import httpx
import psycopg
from contracts import ALL_SERVICES
from storage.embedded import EmbeddedPostgres

from testkit.programs import Program, ProgramMissing, free_port
from testkit.programs.envoy import Envoy
from testkit.programs.kafka import Kafka
from testkit.programs.keycloak import Keycloak
from testkit.programs.mongodb import MongoDB
from testkit.programs.program import is_answering, is_listening
from testkit.programs.prometheus import Prometheus

DATABASE = "uplift"
USUAL_PORTS = {
    "envoy": 8080, "envoy.admin": 9901, "page": 8100, "keycloak": 8180, "kafka": 9092, "mongodb": 27017, "prometheus": 9090,
    **{f"{service}.api": 8101 + number for number, service in enumerate(ALL_SERVICES)},
    **{f"{service}.work": 8201 + number for number, service in enumerate(ALL_SERVICES)},
}  # fmt: skip


class Part(Protocol):
    """A part of the stack. It can be killed and started again, on the same port and data."""

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        ...

    def start(self) -> None:
        """Starts it, and returns when it answers."""
        ...

    def kill(self) -> None:
        """Sends SIGKILL, and returns when the process is gone."""
        ...

    def stop(self) -> object:
        """Stops it in an orderly way."""
        ...


class Postgres:
    """PostgreSQL as a part of the stack."""

    def __init__(self, data: Path, *, durable: bool) -> None:
        # The usual settings are for one process with pools; here there are fourteen.
        self.server = EmbeddedPostgres(
            data, durable=durable, settings={"max_connections": "300", "shared_buffers": "256MB"}
        )

    @property
    def running(self) -> bool:
        """See `Part`."""
        return self.server.pid is not None

    def start(self) -> None:
        """See `Part`."""
        self.server.start()

    def kill(self) -> None:
        """See `Part`."""
        if pid := self.server.pid:
            os.kill(pid, signal.SIGKILL)
            while self.server.pid:
                time.sleep(0.01)

    def stop(self) -> None:
        """See `Part`."""
        self.server.stop()


class Stack:
    """The stack. `parts` holds its parts by name: `postgres`, `kafka`, `mongodb`, `keycloak`, `envoy`, `prometheus`, `page`,
    `simulation`, and each service as `<service>.api` and `<service>.work`, with further replicas as `<service>.api.2`.

    Data and logs are below `folder`. `port_of` chooses the port of a part. `replicas` are numbers of processes by part,
    `environment` further settings of every process. `durable` is that of `EmbeddedPostgres`. `say` reports progress.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port_of: Callable[[str], int] = lambda _: free_port(),
        replicas: Mapping[str, int] = {},
        environment: Mapping[str, str] = {},
        prometheus: bool = False,
        durable: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.folder = folder
        self.port = port_of("envoy")
        self.url = f"http://127.0.0.1:{self.port}"
        self.parts: dict[str, Part] = {}
        self.ports: dict[str, int] = {}
        self._port_of = port_of
        self._replicas = replicas
        self._environment = environment
        self._prometheus = prometheus
        self._durable = durable
        self._say = say
        # The kernel kills a child when the thread that started it ends, so these threads live as long as the stack.
        self._starting = ThreadPoolExecutor(8)
        folder.mkdir(parents=True, exist_ok=True)

    # Parts

    @property
    def postgres(self) -> EmbeddedPostgres:
        """The PostgreSQL server."""
        part = self.parts["postgres"]
        assert isinstance(part, Postgres)
        return part.server

    @property
    def database_dsn(self) -> str:
        """Connection string of the administrator for the services' database, in libpq's form."""
        return self.postgres.dsn.replace("dbname=postgres", f"dbname={DATABASE}")

    def _infrastructure(self) -> None:
        self.ports |= {name: self._port_of(name) for name in ("kafka", "mongodb", "keycloak")}
        self.parts["postgres"] = Postgres(self.folder / "postgres", durable=self._durable)
        self.kafka = Kafka(self.folder / "kafka", port=self.ports["kafka"])
        self.mongodb = MongoDB(self.folder / "mongodb", port=self.ports["mongodb"])
        self.keycloak = Keycloak(self.folder / "keycloak", port=self.ports["keycloak"], hostname=self.url)
        self.parts["kafka"], self.parts["mongodb"], self.parts["keycloak"] = self.kafka, self.mongodb, self.keycloak

    def _secret(self, name: str) -> str:
        """A random secret, created once and stored with the data."""
        file = self.folder / f"{name}.secret"
        if not file.exists():
            file.touch(0o600)
            file.write_text(secrets.token_urlsafe(32))
        return file.read_text()

    def settings(self) -> dict[str, str]:
        """The environment variables of every process of Uplift."""
        return {
            "UPLIFT_DATABASE_URL": self.postgres.url("ROLE", DATABASE).replace("ROLE", "{role}"),
            "UPLIFT_ADMIN_DATABASE_URL": self.postgres.url(database=DATABASE),
            "UPLIFT_DATABASE_POOL": "3",
            "UPLIFT_KAFKA_BOOTSTRAP_SERVERS": self.kafka.address,
            "UPLIFT_KAFKA_REPLICATION_FACTOR": "1",
            "UPLIFT_KAFKA_SESSION_SECONDS": "10",
            "UPLIFT_MONGODB_URL": self.mongodb.url,
            "UPLIFT_ISSUER": f"{self.url}/realms/uplift",
            "UPLIFT_JWKS_URL": f"{self.keycloak.url}/realms/uplift/protocol/openid-connect/certs",
            "UPLIFT_DRAIN_SECONDS": "4",
            "IDENTITY_KEYCLOAK_URL": self.keycloak.url,
            "IDENTITY_SERVICES_URL": self.url,
            "IDENTITY_KEYCLOAK_CLIENT_SECRET": self._secret("identity"),
            "UPLIFT_SECRET": self._secret("hashes"),
            "UPLIFT_PROVISION_PUBLIC_URL": self.url,
            "UPLIFT_LOG_FORMAT": "json",
            **self._environment,
        }

    def _service(self, name: str) -> Program:
        """The process of a part such as `ingest.api`, `ingest.work` or `ingest.api.2`."""
        service, role, *_ = name.split(".")
        port = self.ports[name] = self._port_of(name)
        return Program(
            name,
            [
                sys.executable,
                "-m",
                "servicekit",
                role,
                "--service",
                service,
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
            ],
            log=self.folder / "logs" / f"{name}.log",
            ready=lambda: is_answering(f"http://127.0.0.1:{port}/readyz"),
            env=self.settings(),
            seconds=120,
        )

    def _start_page(self) -> Program:
        port = self.ports["page"] = self._port_of("page")
        return Program(
            "page",
            [sys.executable, "-m", "all_in_one.main", "page", "--url", self.url, "--port", str(port)],
            log=self.folder / "logs" / "page.log",
            ready=lambda: is_answering(f"http://127.0.0.1:{port}/"),
            env=self.settings(),
            seconds=120,
        )

    def _gateway(self) -> None:
        admin_port = self._port_of("envoy.admin")
        settings = {
            "GATEWAY_PORT": str(self.port),
            "GATEWAY_ADMIN_PORT": str(admin_port),
            "GATEWAY_PUBLIC_URL": self.url,
            "GATEWAY_UPSTREAMS": json.dumps({each: ",".join(self.endpoints(each)) for each in ALL_SERVICES}),
            "GATEWAY_PAGE": f"127.0.0.1:{self.ports['page']}",
            "GATEWAY_PROVIDER": f"127.0.0.1:{self.ports['keycloak']}",
        }
        config = self.run_command("gateway", "render", **settings)
        self.parts["envoy"] = Envoy(config, folder=self.folder / "envoy", port=self.port, admin_port=admin_port)

    def _names(self) -> list[str]:
        names = [f"{service}.{role}" for service in ALL_SERVICES for role in ("api", "work")]
        return names + [f"{each}.{number}" for each, count in self._replicas.items() for number in range(2, count + 1)]

    def endpoints(self, service: str) -> list[str]:
        """The addresses of a service's API replicas, `host:port`."""
        return [f"127.0.0.1:{port}" for name, port in self.ports.items() if name.split(".")[:2] == [service, "api"]]

    # Starting and stopping

    def start(self) -> None:
        """Starts all parts, and creates schemas, topics and the realm on the way. Raises ProgramMissing, and RuntimeError
        when a part does not start."""
        self._infrastructure()
        self._all_at_once("infrastructure", ["postgres", "kafka", "mongodb", "keycloak"])
        self._say("  schemas, topics, realm")
        self._create_database()
        self.run_command("servicekit", "migrate", "topics")
        self.provisioned = self.run_command("all_in_one.main", "provision")
        names = self._names()
        self.parts |= {name: self._service(name) for name in names} | {"page": self._start_page()}
        self._all_at_once("services", [*names, "page"])
        self._gateway()
        self.start_part("envoy")
        if self._prometheus:
            targets = [f"127.0.0.1:{self.ports[name]}" for name in names]
            self.parts["prometheus"] = Prometheus(
                self.folder / "prometheus", port=self._port_of("prometheus"), targets=targets
            )
            self.start_part("prometheus")

    def _all_at_once(self, what: str, names: Sequence[str]) -> None:
        self._say(f"  {what}: {', '.join(names)}")
        started = [self._starting.submit(self.parts[name].start) for name in names]
        for each in started:
            each.result()

    def _create_database(self) -> None:
        with psycopg.connect(self.postgres.dsn, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
                connection.execute(f'CREATE DATABASE "{DATABASE}"')  # pyright: ignore[reportArgumentType, reportCallIssue]

    def install_demo(self) -> None:
        """Creates the demo tenant, and starts its simulated call centre as one more part."""
        lag = [f"--lag-url=http://127.0.0.1:{self.ports[f'{each}.work']}/lag" for each in ALL_SERVICES]
        self._say("  demo tenant")
        self.run_command("all_in_one.main", "demo", "--url", self.url, *lag)
        simulate = ["-m", "simulator", "--url", self.url, "--keycloak", "uplift", "--speed", "60", *lag]
        self.parts["simulation"] = Program(
            "simulation",
            [sys.executable, *simulate],
            log=self.folder / "logs" / "simulation.log",
            ready=lambda: True,
            env=self.settings(),
        )
        self.start_part("simulation")

    def run_command(self, module: str, *arguments: str, **more: str) -> str:
        """Runs `python -m module` with the settings of the stack. Returns its output. Raises RuntimeError with the output when
        it fails."""
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **more, **self.settings()}  # noqa: TID251
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments], env=environment, capture_output=True, text=True, timeout=300
        )
        if done.returncode:
            raise RuntimeError(f"{module} {' '.join(arguments)}:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")
        return done.stdout

    def start_part(self, name: str) -> None:
        """Starts a part, and returns when it answers."""
        self._starting.submit(self.parts[name].start).result()

    def restart(self, name: str) -> None:
        """Kills a part by SIGKILL and starts it again."""
        self.parts[name].kill()
        self.start_part(name)

    def stop(self) -> None:
        """Stops all parts, the stores last."""
        last = ("mongodb", "kafka", "postgres")
        first = [name for name in self.parts if name not in last]
        for name in first:
            part = self.parts[name]
            if isinstance(part, Program):
                part.signal(signal.SIGTERM)  # to all of them before waiting for each
        for name in [*first, *last]:
            if name in self.parts:
                self.parts[name].stop()
        self._starting.shutdown()

    def launch_replica(self, name: str) -> Program:
        """Starts one more process of a service and role, such as `ingest.work.2`, without waiting for it."""
        program = self._service(name)
        self._starting.submit(program.launch).result()
        return program

    # Lag

    def lag(self) -> dict[str, dict[str, int]]:
        """By service, how many events wait in its outbox and in each of its topics. Raises httpx.HTTPError while a worker does
        not answer."""
        found: dict[str, dict[str, int]] = {}
        for service in ALL_SERVICES:
            answer = httpx.get(f"http://127.0.0.1:{self.ports[f'{service}.work']}/lag", timeout=30)
            found |= answer.raise_for_status().json()
        return found


def main() -> None:
    """Runs the stack on its usual ports until Ctrl-C. A part that ends is started again."""
    options = argparse.ArgumentParser(prog="make stack", description=main.__doc__)
    options.add_argument("--no-demo", action="store_true", help="without the simulated tenant")
    options.add_argument("--data", type=Path, default=Path(".uplift/stack"))
    chosen = options.parse_args()
    taken = [f"{name} {port}" for name, port in USUAL_PORTS.items() if _is_port_taken(port)]
    if taken:
        sys.exit(f"Ports in use: {', '.join(taken)}. Stop what listens there, and repeat.")
    stack = Stack(chosen.data.resolve(), port_of=USUAL_PORTS.__getitem__, prometheus=True, durable=True, say=print)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    try:
        stack.start()
        if not chosen.no_demo:
            stack.install_demo()
        print(f"Uplift answers at {stack.url} after {time.monotonic() - began:.0f} s.\n{stack.provisioned}", flush=True)
        print(f"Data and logs lie in {stack.folder}. Stop with Ctrl-C.", flush=True)
        while True:
            time.sleep(1)
            for name, part in stack.parts.items():
                if not part.running:
                    print(f"{name} has ended and is started again; its log is below {stack.folder}", flush=True)
                    stack.start_part(name)
    except KeyboardInterrupt:
        print("Stopping …", flush=True)
    except (ProgramMissing, RuntimeError) as error:
        sys.exit(str(error))
    finally:
        stack.stop()


def _is_port_taken(port: int) -> bool:
    try:
        return is_listening(port)
    except OSError:
        return False


if __name__ == "__main__":
    main()
