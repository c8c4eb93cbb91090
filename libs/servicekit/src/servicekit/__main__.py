"""One image, several roles: `python -m servicekit ROLE… [--service NAME…]`.

`api` answers HTTP. `work` consumes events, relays the outbox and runs due items. Given together, both run in one
process. `migrate` migrates the schemas and exits. `topics` creates Kafka's topics, or with --check reports what
differs, and exits.
"""

import argparse
import asyncio
import sys
from importlib.metadata import entry_points

import uvloop
from contracts import TOPICS
from messaging.kafka import KafkaBroker
from sqlalchemy.exc import SQLAlchemyError

from servicekit import logs
from servicekit.budget import exit_when_hung
from servicekit.run import ALL_ROLES, create_broker, root_app, run_services
from servicekit.server import Server
from servicekit.service_definition import Service
from servicekit.settings import PlatformSettings
from servicekit.wiring import migrate_all

ROLES = ("api", "work", "migrate", "topics")


def load_services(names: list[str] | None) -> list[Service]:
    """Loads the installed services, or those in `names`. Raises SystemExit that names the ones that are not installed."""
    found = {each.name: each for each in entry_points(group="uplift.services")}
    missing = sorted(set(names or ()) - found.keys())
    if missing or not found:
        sys.exit(f"Not installed here: {', '.join(missing) or 'any service'}. There are: {', '.join(sorted(found))}.")
    return [found[name].load() for name in sorted(names or found)]


def parse_arguments() -> argparse.Namespace:
    """Parses the command line. Raises SystemExit for an unknown role or option."""
    parser = argparse.ArgumentParser(
        prog="python -m servicekit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("role", nargs="+", choices=ROLES)
    parser.add_argument("--service", action="append", help="only this service; may be given again")
    parser.add_argument("--host", default="0.0.0.0", help="to listen on (%(default)s)")  # noqa: S104  # nosec
    parser.add_argument("--port", type=int, default=8000, help="(%(default)s)")
    parser.add_argument("--check", action="store_true", help="for `topics`: compare only, exit 1 on a difference")
    return parser.parse_args()


async def ensure_topics(settings: PlatformSettings, *, check: bool) -> None:
    """Creates the declared topics in Kafka, or compares only (`check`). Raises ValueError with every difference between
    Kafka's topics and the declared ones, SystemExit when the broker is not Kafka."""
    async with create_broker(settings) as broker:
        if not isinstance(broker, KafkaBroker):
            sys.exit("Topics are made for Kafka only: name it with UPLIFT_KAFKA_BOOTSTRAP_SERVERS.")
        await (broker.validate_topics if check else broker.declare)(list(TOPICS.values()))
    print(f"{len(TOPICS)} topics are as declared.")


async def serve(
    services: list[Service], settings: PlatformSettings, roles: frozenset[str], host: str, port: int
) -> None:
    """Runs the services and their HTTP server until SIGTERM or SIGINT."""
    exit_when_hung()
    async with run_services(services, settings, roles=roles) as process:
        app = root_app(process)
        await Server(app, process, host=host, port=port, drain_seconds=settings.drain_seconds).serve()


def main() -> None:
    """Runs the roles of the command line. Raises SystemExit when a migration or a topic check fails."""
    options = parse_arguments()
    settings = PlatformSettings()
    services = load_services(options.service)
    names = ", ".join(each.name for each in services)
    logs.configure_logging(settings.log_format, services[0].name if len(services) == 1 else "uplift")
    try:
        if "migrate" in options.role:
            migrate_all(services, settings)
            print(f"Up to date: the schemas of {names}.")
        if "topics" in options.role:
            asyncio.run(ensure_topics(settings, check=options.check))
    except (SQLAlchemyError, OSError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    if roles := ALL_ROLES & set(options.role):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(services, settings, roles, options.host, options.port))


if __name__ == "__main__":
    main()
