"""A release's stores and its chart agree: topics, addresses, passwords, network, who may run."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from contracts import TOPICS
from messaging.kafka.topics import desired_config

from tests.charts.conftest import Render, chart, render
from tests.charts.objects import Objects
from tests.k8s.conftest import CUSTOMERS, K8S, Build, name_of

pytestmark = pytest.mark.cluster
__all__ = ["chart", "render"]


@pytest.fixture(params=CUSTOMERS, ids=name_of)
def customer(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def release(customer: Path) -> dict[str, Any]:
    return yaml.safe_load((customer / "release.yaml").read_text())


@pytest.fixture
def values(customer: Path) -> dict[str, Any]:
    return yaml.safe_load((customer / "values.yaml").read_text())


@pytest.fixture
def installed(render: Render, values: dict[str, Any]) -> Objects:
    return render(values=values)


@pytest.fixture
def data(customer: Path, build: Build) -> Objects:
    return build(customer / "data")


def only(objects: Objects, kind: str) -> dict[str, Any]:
    (found,) = objects.of_kind(kind).values()
    return found


def test_everything_stands_in_the_namespace_of_the_release(
    customer: Path, release: dict[str, Any], data: Objects
) -> None:
    assert release.keys() == {"environment", "customer", "namespace", "version"}
    assert (release["environment"], release["customer"]) == (customer.parents[1].name, customer.name)
    namespace = only(data, "Namespace")["metadata"]
    assert namespace["name"] == release["namespace"] == f"uplift-{customer.name}"
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {each["metadata"]["namespace"] for each in data if each["kind"] != "Namespace"} == {release["namespace"]}


def test_topics_are_as_the_services_declare_them(data: Objects, installed: Objects) -> None:
    environment = installed.environment_of("Job", "uplift-topics")
    replicas = int(environment["UPLIFT_KAFKA_REPLICATION_FACTOR"])
    assert {name: each["spec"] for name, each in data.of_kind("KafkaTopic").items()} == {
        topic.name: {
            "partitions": topic.partitions,
            "replicas": replicas,
            "config": desired_config(topic, replicas),
        }
        for topic in TOPICS.values()
    }
    brokers = data.of_kind("KafkaNodePool")["brokers"]["spec"]["replicas"]
    assert brokers >= replicas
    config = only(data, "Kafka")["spec"]["kafka"]["config"]
    assert config["default.replication.factor"] == config["offsets.topic.replication.factor"] == replicas


def test_processes_find_kafka_and_may_enter(data: Objects, installed: Objects, values: dict[str, Any]) -> None:
    kafka, user = only(data, "Kafka"), only(data, "KafkaUser")
    (listener,) = kafka["spec"]["kafka"]["listeners"]
    environment = installed.environment_of("Deployment", "uplift-ingest-work")
    assert environment["UPLIFT_KAFKA_BOOTSTRAP_SERVERS"] == f"kafka-kafka-bootstrap:{listener['port']}"
    assert environment["UPLIFT_KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
    assert environment["UPLIFT_KAFKA_USERNAME"] == user["metadata"]["name"]
    assert user["spec"]["authentication"]["type"] == listener["authentication"]["type"] == "scram-sha-512"
    secret = user["spec"]["authentication"]["password"]["valueFrom"]["secretKeyRef"]
    assert environment[secret["key"]] == f"secret: {secret['name']}"
    assert values["kafka"]["caSecret"] == f"{kafka['metadata']['name']}-cluster-ca-cert"
    assert values["peers"]["kafka"]["port"] == listener["port"]


def test_addresses_backups_and_secrets_are_the_customers_own(
    customer: Path, release: dict[str, Any], data: Objects, values: dict[str, Any]
) -> None:
    where = f"{release['environment']}/{customer.name}"
    assert only(data, "Keycloak")["spec"]["hostname"]["hostname"] == values["publicUrl"]
    assert values["keycloak"]["namespace"] == release["namespace"]
    assert only(data, "ObjectStore")["spec"]["configuration"]["destinationPath"] == f"s3://uplift-backup/{where}"
    assert values["secrets"]["prefix"] == f"uplift/{where}"
    keys = {
        item["remoteRef"]["key"] for each in data.of_kind("ExternalSecret").values() for item in each["spec"]["data"]
    }
    assert keys == {f"uplift/{where}/data"}


def test_secrets_that_are_named_are_made(data: Objects, installed: Objects) -> None:
    made = {
        each.get("spec", {}).get("target", {}).get("name", name)
        for name, each in data.of_kind("ExternalSecret").items()
    }
    made |= set(installed.of_kind("ExternalSecret"))
    cluster, keycloak = only(data, "Cluster")["spec"], only(data, "Keycloak")["spec"]
    named = {cluster["superuserSecret"]["name"], keycloak["bootstrapAdmin"]["user"]["secret"]}
    named |= {each["passwordSecret"]["name"] for each in cluster["managed"]["roles"]}
    named |= {keycloak["db"]["usernameSecret"]["name"], keycloak["db"]["passwordSecret"]["name"]}
    named |= {each["passwordSecretRef"]["name"] for each in only(data, "MongoDBCommunity")["spec"]["users"]}
    named.add(only(data, "KafkaUser")["spec"]["authentication"]["password"]["valueFrom"]["secretKeyRef"]["name"])
    assert named <= made


def test_no_two_releases_share_anything() -> None:
    files = [each / "values.yaml" for each in CUSTOMERS]
    found = [yaml.safe_load(each.read_text()) for each in files]
    for of in (lambda each: each["publicUrl"], lambda each: each["secrets"]["prefix"]):
        assert len({of(each) for each in found}) == len(found)


def test_nothing_is_left_to_be_replaced(data: Objects, build: Build) -> None:
    assert "REPLACED" not in yaml.safe_dump(list(data))
    for folder in K8S.glob("environments/*/cluster"):
        assert "REPLACED" not in yaml.safe_dump(list(build(folder)))


def test_backups_are_taken_daily_and_kept(data: Objects) -> None:
    backup, store = only(data, "ScheduledBackup")["spec"], only(data, "ObjectStore")
    (plugin,) = only(data, "Cluster")["spec"]["plugins"]
    assert plugin["isWALArchiver"] is True
    assert plugin["parameters"]["barmanObjectName"] == store["metadata"]["name"]
    assert (backup["method"], backup["pluginConfiguration"]["name"]) == ("plugin", plugin["name"])
    assert backup["schedule"].split()[3:] == ["*", "*", "*"]
    assert store["spec"]["retentionPolicy"] == "30d"


def test_applications_come_from_the_files_there_are(build: Build) -> None:
    """Argo CD's templates name the fields of release.yaml."""
    sets = build(K8S / "argocd").of_kind("ApplicationSet")
    for name in ("uplift-data", "uplift-releases"):
        (generator,) = sets[name]["spec"]["generators"]
        (pattern,) = generator["git"]["files"]
        assert sorted(K8S.parent.glob(pattern["path"])) == [each / "release.yaml" for each in CUSTOMERS]
    files = sets["uplift-releases"]["spec"]["template"]["spec"]["sources"][0]["helm"]["valueFiles"]
    for customer in CUSTOMERS:
        for file in files:
            path = file.replace("{{ .path.path }}", str(customer)).replace(
                "{{ .environment }}", customer.parents[1].name
            )
            assert (K8S.parent / path.removeprefix("$files/")).exists(), path
    steps = sets["uplift-releases"]["spec"]["strategy"]["rollingSync"]["steps"]
    stages = [each["matchExpressions"][0]["values"][0] for each in steps]
    assert set(stages) == {each.parents[1].name for each in CUSTOMERS}
