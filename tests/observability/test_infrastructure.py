"""Panels and alerts of Kafka, Envoy and PostgreSQL ask for metrics that their exporters have."""

import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import psycopg
import pytest
import yaml
from testkit import Cluster
from testkit.fixtures import started_or_skipped
from testkit.programs import free_port
from testkit.programs.custom_resources import exporter_queries
from testkit.programs.envoy import Envoy

from tests.observability.monitoring_queries import DASHBOARDS, FOLDER, OF_OTHERS, RULES, promql, rules

KAFKA = {
    "kafka_brokers",
    "kafka_consumergroup_current_offset",
    "kafka_consumergroup_lag",
    "kafka_topic_partition_current_offset",
    "kafka_topic_partition_in_sync_replica",
    "kafka_topic_partition_leader",
    "kafka_topic_partition_leader_is_preferred",
    "kafka_topic_partition_oldest_offset",
    "kafka_topic_partition_replicas",
    "kafka_topic_partition_under_replicated_partition",
    "kafka_topic_partitions",
}
"""https://github.com/danielqsj/kafka_exporter#metrics, which Strimzi deploys. No registry here serves the program."""
COLLECTOR = {"cnpg_collector_pg_wal", "cnpg_collector_pg_wal_archive_status"}
"""What CloudNativePG's instance manager adds to the queries: docs, "Monitoring"."""

ENVOY = """
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
    - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: public
                route_config:
                  virtual_hosts: [{{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: service}}}}]}}]
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
    - name: service
      load_assignment:
        cluster_name: service
        endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}}}]}}]
"""


def list_metrics(expr: Any) -> Iterator[tuple[str, dict[str, str]]]:
    """Each metric that a parsed expression asks for, with the labels that it asks to be equal."""
    if isinstance(expr, promql_parser.VectorSelector):
        yield (
            expr.name or "",
            {each.name: each.value for each in expr.matchers.matchers if str(each.op).endswith("Equal")},
        )
    for part in ("expr", "lhs", "rhs", "vector_selector", "vs"):
        if (inner := getattr(expr, part, None)) is not None:
            yield from list_metrics(inner)
    for inner in getattr(expr, "args", None) or ():
        yield from list_metrics(inner)


def list_asked(prefix: str) -> dict[str, list[dict[str, str]]]:
    """By metric with this prefix the labels that panels, alerts and runbooks ask for."""
    texts = [each.expr for each in promql([each for each in DASHBOARDS if each.stem == OF_OTHERS])]
    texts += [rule["expr"] for rule in rules([each for each in RULES if each.stem == OF_OTHERS])]
    for page in (FOLDER.parents[2] / "docs/runbooks").glob("Uplift*.md"):
        for block in re.findall(r"^```promql\n(.*?)^```", page.read_text(), re.M | re.S):
            texts += [line.partition("#")[0] for line in block.splitlines()]
    found: dict[str, list[dict[str, str]]] = {}
    for text in texts:
        for name, labels in list_metrics(promql_parser.parse(text)):
            if name.startswith(prefix):
                found.setdefault(name, []).append(labels)
    return found


def test_kafkas_exporter_has_what_is_asked_for() -> None:
    asked = set(list_asked("kafka_"))
    assert {"kafka_consumergroup_lag", "kafka_topic_partition_under_replicated_partition"} <= asked
    assert asked - KAFKA == set()


@pytest.fixture
def envoy_metrics(tmp_path: Path, envoy_binary: str) -> Iterator[str]:
    """What a real Envoy tells Prometheus after an answer with 200 and one with 501."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port, admin = free_port(), free_port()
    config = ENVOY.format(port=port, admin=admin, upstream=server.server_address[1])
    try:
        with Envoy(config, folder=tmp_path, port=port, admin_port=admin) as envoy:
            assert httpx.get(f"{envoy.url}/").status_code == 200
            assert httpx.post(f"{envoy.url}/").status_code == 501
            yield envoy.admin("/stats/prometheus")
    finally:
        server.shutdown()
        server.server_close()


def test_envoy_has_what_is_asked_for(envoy_metrics: str) -> None:
    asked = list_asked("envoy_")
    assert {"envoy_cluster_upstream_rq_time_bucket", "envoy_http_downstream_rq_xx"} <= set(asked)
    for name, several in asked.items():
        for labels in several:
            wanted = [f'{label}="{value}"' for label, value in labels.items()]
            lines = [line for line in envoy_metrics.splitlines() if re.match(rf"{name}[{{ ]", line)]
            assert any(all(each in line for each in wanted) for line in lines), (name, labels)
    assert (
        'envoy_http_downstream_rq_xx{envoy_response_code_class="5",envoy_http_conn_manager_prefix="public"} 1'
        in envoy_metrics
    )


def test_postgresqls_exporter_has_what_is_asked_for(cluster: Cluster) -> None:
    """CloudNativePG's own queries name the metrics; they are run on the PostgreSQL of these tests."""
    asked = set(list_asked("cnpg_")) - COLLECTOR
    assert {"cnpg_backends_total", "cnpg_pg_replication_lag", "cnpg_pg_stat_database_deadlocks"} <= asked
    config = yaml.safe_load(started_or_skipped(exporter_queries).read_text())
    queries: dict[str, Any] = yaml.safe_load(config["data"]["queries"])
    known = {
        f"cnpg_{each.get('name', name)}_{column}": each["query"]
        for name, each in queries.items()
        for metric in each["metrics"]
        for column, of in metric.items()
        if of["usage"] != "LABEL"
    }
    assert asked - set(known) == set()
    with psycopg.connect(cluster.server.dsn) as connection:
        for name in asked:
            cursor = connection.execute(known[name].encode())
            assert any(name.endswith(f"_{column.name}") for column in cursor.description or ()), name
        settings = {row[0] for row in connection.execute(known["cnpg_pg_settings_setting"].encode())}
    for labels in list_asked("cnpg_")["cnpg_pg_settings_setting"]:
        assert labels.get("name") in settings
