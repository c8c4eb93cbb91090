"""Generates the Grafana dashboards with Grafana's SDK. `--check` fails when a file is out of date, `--write` writes it."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from grafana_foundation_sdk.builders import common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.runtime import UnknownDataquery
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import LegendDisplayMode
from grafana_foundation_sdk.models.dashboard import Dashboard, DataSourceRef, VariableOption

from testkit.paths import ROOT

FOLDER = ROOT / "charts/uplift/observability/dashboards"

METRICS = DataSourceRef(type_val="prometheus", uid="${metrics}")
CUSTOMER = DataSourceRef(type_val="grafana-postgresql-datasource", uid="${customer}")
RATE = "[$__rate_interval]"


def platform() -> Dashboard:
    """The dashboard of the platform: requests, events, queues, pools."""
    http, route = "uplift_http_requests_total", "uplift_http_request_duration_seconds_bucket"
    made = _dashboard("uplift-platform", "Uplift: platform", "Golden signals, lag, outbox, dead letters, pools.")
    made = made.with_variable(_source("metrics", "prometheus", "Metrics"))
    made = made.with_row(build.Row("At a glance"))
    for panel in (
        _figure("Not ready", "Processes that answer and are not ready", "count(uplift_ready == 0) or vector(0)"),
        _figure("Not answering", "Processes that Prometheus cannot reach", 'count(up{job="uplift"} == 0) or vector(0)'),
        _figure("Readers stopped", "They wait for a person", "sum(uplift_consumer_stopped)"),
        _figure("Dead letters, 1 h", "Filed in the last hour", "sum(increase(uplift_events_buried_total[1h]))"),
        _figure("Oldest in an outbox", "", "max(uplift_outbox_age_seconds)", units.Seconds),
        _figure("Worst lag", "", "max(uplift_consumer_lag_seconds)", units.Seconds),
    ):
        made = made.with_panel(panel)
    made = made.with_row(build.Row("HTTP"))
    for panel in (
        _chart("Requests", "By service", [(f"sum by (service) (rate({http}{RATE}))", "{{service}}")], units.RequestsPerSecond),
        _chart(
            "Share of failures", "5xx of all requests", [(
                f'sum by (service) (rate({http}{{status="5xx"}}{RATE}) or 0 * rate({http}{RATE}))'
                f" / sum by (service) (rate({http}{RATE}))", "{{service}}",
            )], units.PercentUnit,
        ),
        _chart(
            "Time to answer", "99 of 100 requests are faster", [(
                f"histogram_quantile(0.99, sum by (service, le) (rate({route}{RATE})))", "{{service}}",
            )], units.Seconds,
        ),
        _chart(
            "Slowest routes", "The ten with the highest 99th percentile", [(
                f"topk(10, histogram_quantile(0.99, sum by (route, le) (rate({route}{RATE}))))", "{{route}}",
            )], units.Seconds,
        ),
        _chart("Refused", "4xx by service", [(
            f'sum by (service) (rate({http}{{status="4xx"}}{RATE}) or 0 * rate({http}{RATE}))', "{{service}}",
        )], units.RequestsPerSecond),
        _chart("Event loop", "How late a sleeper is woken, 99th percentile", [(
            f"histogram_quantile(0.99, sum by (instance, le) (rate(uplift_event_loop_lag_seconds_bucket{RATE})))",
            "{{instance}}",
        )], units.Seconds),
    ):  # fmt: skip
        made = made.with_panel(panel)
    made = made.with_row(build.Row("Events"))
    for panel in (
        _chart("Lag", "Age of the oldest message a reader stands at", [
            ("max by (service, topic) (uplift_consumer_lag_seconds)", "{{service}} of {{topic}}"),
        ], units.Seconds),
        _chart("Backlog", "Messages not handled yet", [
            ("max by (service, topic) (uplift_consumer_lag_messages)", "{{service}} of {{topic}}"),
        ]),
        _chart("Events in", "Handled and committed", [
            (f"sum by (service) (rate(uplift_events_handled_total{RATE}))", "{{service}}"),
        ]),
        _chart("Events out", "Durable at the broker", [
            (f"sum by (service) (rate(uplift_events_published_total{RATE}))", "{{service}}"),
        ]),
        _chart("Again", "Events of batches that were rolled back, and failed passes of relays", [
            (f"sum by (service) (rate(uplift_events_retried_total{RATE}))", "{{service}}"),
            (f"sum by (service) (rate(uplift_relay_failures_total{RATE}))", "relay of {{service}}"),
        ]),
        _chart("Dead letters", "Events filed away", [
            (f"sum by (service, topic) (increase(uplift_events_buried_total{RATE}))", "{{service}} of {{topic}}"),
        ]),
        _chart("Time of a batch", "99th percentile", [(
            "histogram_quantile(0.99, sum by (service, topic, le)"
            f" (rate(uplift_batch_duration_seconds_bucket{RATE})))", "{{service}} of {{topic}}",
        )], units.Seconds),
        _chart("Size of a batch", "Events, on average", [(
            f"sum by (service, topic) (rate(uplift_batch_events_sum{RATE}))"
            f" / sum by (service, topic) (rate(uplift_batch_events_count{RATE}))", "{{service}} of {{topic}}",
        )]),
        _chart("Outbox", "How long the oldest event waits", [
            ("max by (service) (uplift_outbox_age_seconds)", "{{service}}"),
        ], units.Seconds),
        _chart("Outbox, events", "Committed and not published yet", [
            ("max by (service) (uplift_outbox_events)", "{{service}}"),
        ]),
    ):  # fmt: skip
        made = made.with_panel(panel)
    made = made.with_row(build.Row("Clock, pools, documents"))
    for panel in (
        _chart("Clock", "How long the oldest due item has been due", [
            ("max by (service) (uplift_clock_late_seconds)", "{{service}}"),
        ], units.Seconds),
        _chart("Due items that failed", "They are postponed and tried again", [
            (f'sum by (service, kind) (rate(uplift_due_items_total{{outcome="failed"}}{RATE}))', "{{service}} {{kind}}"),
        ]),
        _chart("Database connections in use", "Share of what the pool may open", [(
            'max by (service, instance) (uplift_database_connections{state="in_use"} / ignoring (state)'
            " uplift_database_connections_most)", "{{service}} {{instance}}",
        )], units.PercentUnit),
        _chart("Documents", "99th percentile of an operation of the document store", [(
            "histogram_quantile(0.99, sum by (service, operation, le)"
            f" (rate(uplift_document_operation_duration_seconds_bucket{RATE})))", "{{service}} {{operation}}",
        )], units.Seconds),
        _chart("CPU", "Cores in use", [(f"rate(process_cpu_seconds_total{{job=\"uplift\"}}{RATE})", "{{instance}}")]),
        _chart("Memory", "", [('process_resident_memory_bytes{job="uplift"}', "{{instance}}")], units.BytesIEC),
        _chart("Replicas", "Mean, beside the most: what is paid for, beside a fleet for the peak", [
            ("sum(count by (service) (uplift_database_connections_most))", "all"),
            ("count by (service) (uplift_database_connections_most)", "{{service}}"),
        ]).legend(common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.TABLE).calcs(["mean", "max"])),
    ):  # fmt: skip
        made = made.with_panel(panel)
    return _numbered(made.build())


def operations() -> Dashboard:
    """The dashboard of calls and their consequences: totals of all customers from Prometheus, one customer's values from the
    database."""
    made = _dashboard("uplift-operations", "Uplift: operations", "Calls, silence, bands, trainings, points.")
    made = made.with_variable(_source("metrics", "prometheus", "Metrics"))
    made = made.with_variable(_source("customer", CUSTOMER.type_val or "", "Customer"))
    made = made.with_row(build.Row("All customers"))
    for panel in (
        _chart("Records", "By verdict", [(f"sum by (verdict) (rate(uplift_records_total{RATE}))", "{{verdict}}")]),
        _chart("Silence", "Share of the conversation, in calls whose silence is known", [(
            f'sum(rate(uplift_call_seconds_total{{part="silence"}}{RATE}))'
            f' / sum(rate(uplift_call_seconds_total{{part="conversation"}}{RATE}))', "silence",
        )], units.PercentUnit),
        _chart("Bands", "", [("sum by (change) (increase(uplift_bands_total[1h]))", "{{change}}")]),
        _chart("Trainings", "", [("sum by (change) (increase(uplift_assignments_total[1h]))", "{{change}}")]),
        _chart("Points", "", [("sum by (change) (increase(uplift_points_total[1h]))", "{{change}}")]),
        _chart("Notices", "", [("sum(increase(uplift_notices_total[1h]))", "notices")]),
    ):  # fmt: skip
        made = made.with_panel(panel)
    made = made.with_row(build.Row("One customer"))
    days = "BETWEEN $__timeFrom()::date AND $__timeTo()::date"
    legs = f"FROM kpi_engine.report_leg WHERE workday {days}"
    for panel in (
        _days("Calls", f"SELECT workday::timestamptz AS time, count(*) AS calls {legs} GROUP BY 1 ORDER BY 1"),
        _days(
            "Silence",
            "SELECT workday::timestamptz AS time, 1.0 * sum(silence_vendor_ms) / nullif(sum(conversation_ms), 0) "
            f"AS silence {legs} AND silence_vendor_ms IS NOT NULL GROUP BY 1 ORDER BY 1",
            units.PercentUnit,
        ),
        _rows(
            "People in bands now",
            "SELECT kpi, band, count(*) AS people FROM kpi_engine.report_band_stay WHERE left_window IS NULL "
            "GROUP BY 1, 2 ORDER BY 1, 2",
        ),
        _rows(
            "Trainings",
            "SELECT template, status, count(*) AS trainings FROM training.report_assignment "
            "WHERE assigned_at BETWEEN $__timeFrom() AND $__timeTo() GROUP BY 1, 2 ORDER BY 1, 2",
        ),
        _days(
            "Points",
            "SELECT earned_on::timestamptz AS time, sum(points) AS points FROM gamification.report_ledger_entry "
            f"WHERE earned_on {days} GROUP BY 1 ORDER BY 1",
        ),
    ):
        made = made.with_panel(panel)
    return _numbered(made.build())


def infrastructure() -> Dashboard:
    """The dashboard of third-party programs, from the exporters that their operators install: kafka_exporter, Envoy,
    CloudNativePG."""
    group = "sum by (namespace, consumergroup, topic)"
    public = 'envoy_http_conn_manager_prefix!~"admin|metrics"'
    answers, upstream = "envoy_http_downstream_rq_xx", "envoy_cluster_upstream_rq_xx"
    fails = 'envoy_response_code_class="5"'
    made = _dashboard(
        "uplift-infrastructure", "Uplift: infrastructure", "Kafka, Envoy and PostgreSQL, by their own exporters."
    )
    made = made.with_variable(_source("metrics", "prometheus", "Metrics"))
    made = made.with_row(build.Row("Kafka"))
    for panel in (
        _chart("Lag of groups", "Messages that a group has not committed, also when none of its members runs", [
            (f"{group} (kafka_consumergroup_lag)", "{{consumergroup}}"),
        ]),
        _chart("Under-replicated", "Partitions with fewer replicas in step than they have", [
            ("sum by (namespace, topic) (kafka_topic_partition_under_replicated_partition)", "{{topic}}"),
        ]),
        _chart("Brokers", "", [("min by (namespace) (kafka_brokers)", "{{namespace}}")]),
        _chart("Messages in", "", [
            (f"sum by (namespace, topic) (rate(kafka_topic_partition_current_offset{RATE}))", "{{topic}}"),
        ]),
    ):  # fmt: skip
        made = made.with_panel(panel)
    made = made.with_row(build.Row("Envoy"))
    for panel in (
        _chart("Share of failures", "5xx of all answers of the gateway", [(
            f"sum by (namespace) (rate({answers}{{{fails}, {public}}}{RATE}))"
            f" / sum by (namespace) (rate({answers}{{{public}}}{RATE}))", "{{namespace}}",
        )], units.PercentUnit),
        _chart("Share of failures by service", "5xx of what the gateway asked behind it", [(
            f"sum by (envoy_cluster_name) (rate({upstream}{{{fails}}}{RATE}))"
            f" / sum by (envoy_cluster_name) (rate({upstream}{RATE}))", "{{envoy_cluster_name}}",
        )], units.PercentUnit),
        _chart("Time of services", "90 of 100 answers came sooner; a stream counts with its whole length", [(
            "histogram_quantile(0.9, sum by (envoy_cluster_name, le)"
            f" (rate(envoy_cluster_upstream_rq_time_bucket{RATE})))", "{{envoy_cluster_name}}",
        )], units.Milliseconds),
        _chart("Connections", "Of people and programs to the gateway", [
            (f"sum by (namespace) (envoy_http_downstream_cx_active{{{public}}})", "{{namespace}}"),
        ]),
    ):  # fmt: skip
        made = made.with_panel(panel)
    made = made.with_row(build.Row("PostgreSQL"))
    for panel in (
        _chart("Connections", "Share of max_connections", [(
            "sum by (namespace, pod) (cnpg_backends_total) / on (namespace, pod)"
            ' cnpg_pg_settings_setting{name="max_connections"}', "{{pod}}",
        )], units.PercentUnit),
        _chart("WAL on disk", "Share of its volume", [(
            'cnpg_collector_pg_wal{value="size"} / ignoring (value) cnpg_collector_pg_wal{value="volume_size"}', "{{pod}}",
        )], units.PercentUnit),
        _chart("WAL to archive", "Files that wait for object storage", [
            ('cnpg_collector_pg_wal_archive_status{value="ready"}', "{{pod}}"),
        ]),
        _chart("Lag of standbys", "", [("cnpg_pg_replication_lag", "{{pod}}")], units.Seconds),
        _chart("Deadlocks", "", [
            (f"sum by (namespace, datname) (increase(cnpg_pg_stat_database_deadlocks{RATE}))", "{{datname}}"),
        ]),
        _chart("Waiting for a lock", "Connections", [("cnpg_backends_waiting_total", "{{pod}}")]),
    ):  # fmt: skip
        made = made.with_panel(panel)
    return _numbered(made.build())


DASHBOARDS = {"platform.json": platform, "operations.json": operations, "infrastructure.json": infrastructure}


def _dashboard(uid: str, title: str, about: str) -> build.Dashboard:
    made = build.Dashboard(title).uid(uid).description(about).tags(["uplift"]).timezone("browser")
    return made.time("now-3h", "now").refresh("30s").readonly()


def _numbered(made: Dashboard) -> Dashboard:
    """Numbers the panels. Links to a panel hold its id, and Grafana would choose another one at each import."""
    for number, panel in enumerate(made.panels or (), 1):
        panel.id_val = number
    return made


def _source(name: str, kind: str, label: str) -> build.DatasourceVariable:
    """The variable that chooses a data source; Grafana's first one by default."""
    return (
        build.DatasourceVariable(name).label(label).type(kind).multi(False).current(VariableOption(text="", value=""))
    )


def _query(number: int, expr: str, legend: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(chr(ord("A") + number)).range()


def _chart(title: str, about: str, queries: Sequence[tuple[str, str]], unit: str = units.Short) -> timeseries.Panel:
    panel = timeseries.Panel().title(title).description(about).datasource(METRICS).unit(unit).min(0).span(8).height(8)
    for number, (expr, legend) in enumerate(queries):
        panel = panel.with_target(_query(number, expr, legend))
    return panel


def _figure(title: str, about: str, expr: str, unit: str = units.Short) -> stat.Panel:
    query = prometheus.Dataquery().expr(expr).ref_id("A").instant()
    panel = stat.Panel().title(title).description(about).datasource(METRICS).unit(unit)
    return panel.with_target(query).span(4).height(4)


class _Sql(Builder[Dataquery]):
    """Grafana's SDK has no builder for queries to PostgreSQL."""

    def __init__(self, sql: str, form: str) -> None:
        self._sql = sql
        self._form = form

    def build(self) -> Dataquery:
        return UnknownDataquery({"refId": "A", "rawQuery": True, "editorMode": "code", "format": self._form,
                                 "rawSql": self._sql})  # fmt: skip


def _days(title: str, sql: str, unit: str = units.Short) -> timeseries.Panel:
    panel = timeseries.Panel().title(title).description("By workday").datasource(CUSTOMER).unit(unit).min(0)
    return panel.with_target(_Sql(sql, "time_series")).span(8).height(8)


def _rows(title: str, sql: str) -> table.Panel:
    panel = table.Panel().title(title).datasource(CUSTOMER)
    return panel.with_target(_Sql(sql, "table")).span(8).height(8)


# Files


def render(dashboard: Dashboard) -> str:
    """The JSON text of a dashboard's file."""
    return json.dumps(dashboard, cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def find_stale_dashboards(folder: Path = FOLDER) -> list[str]:
    """The names of the files that differ from what the code generates."""
    return [
        name
        for name, make in DASHBOARDS.items()
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != render(make())
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 1 where `--check` finds a file that is out of date."""
    parser = argparse.ArgumentParser(prog="python -m testkit.dashboards", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="fail when a file is out of date")
    what.add_argument("--write", action="store_true", help="write the files that are out of date")
    options = parser.parse_args(arguments)
    for name in (stale := find_stale_dashboards()):
        if options.write:
            (FOLDER / name).write_text(render(DASHBOARDS[name]()), encoding="utf-8")
        else:
            print(f"{name} is out of date: run `python -m testkit.dashboards --write`.", file=sys.stderr)
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
