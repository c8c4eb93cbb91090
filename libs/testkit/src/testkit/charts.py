"""Generates the parts of the Helm chart and of k8s/ that follow from the code. `--check` fails when a file is out of date.

    python -m testkit.charts --check
    python -m testkit.charts --write

charts/uplift/generated: `services.yaml` lists each service with the topics that it reads and the variables of its settings;
`gateway.yaml` holds the routes and policies of the gateway. k8s/data/kafka-topics.yaml holds the topics for Strimzi.
"""

import argparse
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from contracts import ALL_SERVICES, TOPICS, Topic
from gateway.bootstrap import PlainDumper
from gateway.kubernetes import render_values
from gateway.settings import GatewaySettings
from messaging.kafka.topics import desired_config
from pydantic import AliasChoices
from pydantic_settings import BaseSettings
from storage import schema_name

from testkit.paths import ROOT

PLATFORM_MODULE = "servicekit.settings"
SECRET_TEXTS = {"UPLIFT_ADMIN_DATABASE_URL", "UPLIFT_DATABASE_URL", "UPLIFT_MONGODB_URL", "UPLIFT_SECRET"}
"""Variables that hold a password, although their field in the Settings class is a plain text."""

TOPIC_REPLICAS = 3
_HEADER = "# Generated from the code: `python -m testkit.charts --write`.\n"


def find_settings(module: str) -> Iterator[type[BaseSettings]]:
    """The Settings classes that a module defines; none if the module does not exist."""
    if importlib.util.find_spec(module):
        for _, kind in inspect.getmembers(importlib.import_module(module), inspect.isclass):
            if issubclass(kind, BaseSettings) and kind.__module__ == module:
                yield kind


def list_variables(module: str) -> dict[str, bool]:
    """The environment variables that the Settings classes of a module read, and whether each is a secret."""
    variables: dict[str, bool] = {}
    for kind in find_settings(module):
        for field, info in kind.model_fields.items():
            alias = info.validation_alias
            name = alias if isinstance(alias, str) else f"{kind.model_config.get('env_prefix', '')}{field}"
            names = [str(each) for each in alias.choices] if isinstance(alias, AliasChoices) else [name.upper()]
            secret = "SecretStr" in str(info.annotation)
            variables |= {each: secret or each in SECRET_TEXTS for each in names}
    return variables


def list_topics(service: str) -> list[str]:
    """The topics with several partitions that a service reads. KEDA never asks for more replicas than a topic has
    partitions. A topic with one partition asks for the one replica that always runs, so it is left out."""
    return [each.name for each in TOPICS.values() if service in each.readers and each.partitions > 1]


def render_services() -> str:
    """The YAML of each service's topics, settings and secrets. `platform` holds the settings that all processes have."""
    services = {
        name: {"topics": list_topics(name), **_split(list_variables(f"{schema_name(name)}.settings"))}
        for name in ALL_SERVICES
    }
    return _dump({"platform": _split(list_variables(PLATFORM_MODULE)), "services": services})


def render_gateway() -> str:
    """The YAML of the gateway's routes and policies, with the defaults of its settings."""
    return _dump(render_values(GatewaySettings.model_construct()))


def render_topics() -> str:
    """A KafkaTopic of Strimzi for each topic, with three replicas, as `python -m servicekit topics` declares it."""
    return _HEADER + "".join(
        "---\n" + yaml.dump(_topic(each), Dumper=PlainDumper, sort_keys=False, width=120) for each in TOPICS.values()
    )


def _topic(topic: Topic) -> dict[str, Any]:
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaTopic",
        "metadata": {"name": topic.name, "labels": {"strimzi.io/cluster": "kafka"}},
        "spec": {
            "partitions": topic.partitions,
            "replicas": TOPIC_REPLICAS,
            "config": desired_config(topic, TOPIC_REPLICAS),
        },
    }


def _split(variables: Mapping[str, bool]) -> dict[str, list[str]]:
    return {
        "settings": sorted(name for name, secret in variables.items() if not secret),
        "secrets": sorted(name for name, secret in variables.items() if secret),
    }


def _dump(data: Any) -> str:
    return _HEADER + yaml.dump(data, Dumper=PlainDumper, sort_keys=False, width=120)


FILES: Mapping[str, Callable[[], str]] = {
    "charts/uplift/generated/services.yaml": render_services,
    "charts/uplift/generated/gateway.yaml": render_gateway,
    "k8s/data/kafka-topics.yaml": render_topics,
}


def find_stale_files(root: Path = ROOT) -> list[tuple[Path, str]]:
    """The files that differ from what the code generates, each with its new text."""
    files = [(root / name, render()) for name, render in FILES.items()]
    return [(path, text) for path, text in files if not path.exists() or path.read_text(encoding="utf-8") != text]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 where `--check` finds a file that is out of date."""
    parser = argparse.ArgumentParser(
        prog="python -m testkit.charts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="fail when a file is out of date")
    what.add_argument("--write", action="store_true", help="write the files that are out of date")
    options = parser.parse_args(arguments)
    stale = find_stale_files()
    for path, text in stale:
        if options.write:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        else:
            print(f"{path.name} is out of date: `python -m testkit.charts --write`.", file=sys.stderr)
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
