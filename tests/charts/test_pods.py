"""Every pod keeps to Pod Security "restricted", stops in order, and reaches only whom it must."""

import pytest

from tests.charts.conftest import SCALING, Render
from tests.charts.objects import Objects, hook_of

pytestmark = pytest.mark.cluster

FINISH_SECONDS = 5
"""For how long a server finishes what it has, after its drain: servicekit.server."""


def test_pods_are_restricted(objects: Objects) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, and more than it asks."""
    for name, template in objects.pods():
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["runAsUser"] == 10001, name  # as the Dockerfile says
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), name
        assert [set(volume) for volume in pod["volumes"]] == [{"name", "emptyDir"}], name
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}], name


def test_memory_is_requested_as_it_is_limited(objects: Objects) -> None:
    for name, template in objects.pods():
        resources = template["spec"]["containers"][0]["resources"]
        assert resources["requests"]["memory"] == resources["limits"]["memory"], name
        assert "cpu" in resources["requests"], name
        assert "cpu" not in resources["limits"], name


def test_processes_are_asked_where_they_answer_and_stop_in_time(objects: Objects) -> None:
    for name, deployment in objects.of_kind("Deployment").items():
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        paths = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
        ready = "/healthz" if name == "uplift-page" else "/readyz"
        assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": ready}
        environment = objects.environment_of("Deployment", name)
        drain = float(environment.get("UPLIFT_DRAIN_SECONDS", 0))
        stop = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert pod["terminationGracePeriodSeconds"] > stop + drain + FINISH_SECONDS, name
        assert (stop > 0) == (not name.endswith("-work")), name


def test_replicas_are_spread(objects: Objects) -> None:
    for name, deployment in objects.of_kind("Deployment").items():
        spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        assert all(each["matchLabelKeys"] == ["pod-template-hash"] for each in spread)
        budget = objects.of_kind("PodDisruptionBudget")[name]["spec"]
        assert budget["maxUnavailable"] == "25%"
        assert "minAvailable" not in budget
        assert budget["selector"] == deployment["spec"]["selector"]


def test_every_pod_has_a_network_policy_and_all_others_are_denied(objects: Objects) -> None:
    policies = objects.of_kind("NetworkPolicy")
    deny = policies.pop("uplift-default-deny")["spec"]
    assert deny == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/instance": "uplift"}},
        "policyTypes": ["Ingress", "Egress"],
    }
    for name, template in objects.pods():
        labels = template["metadata"]["labels"].items()
        found = [
            each["spec"] for each in policies.values() if each["spec"]["podSelector"]["matchLabels"].items() <= labels
        ]
        assert len(found) == 1, name
        for rule in [*found[0].get("ingress", ()), *found[0].get("egress", ())]:
            assert rule["ports"], name
            assert rule.get("from") or rule.get("to"), f"{name}: a rule without peers lets everybody in or out"


def test_only_those_that_call_others_outside_reach_the_internet(objects: Objects) -> None:
    reaching = {
        name: {port["port"] for port in rule["ports"]}
        for name, policy in objects.of_kind("NetworkPolicy").items()
        for rule in policy["spec"].get("egress", ())
        if any(peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0" for peer in rule["to"])
    }
    assert reaching == {"uplift-identity-work": {443, 8443}, "uplift-notification-work": {443, 8443, 587}}
    for policy in objects.of_kind("NetworkPolicy").values():
        for rule in policy["spec"].get("egress", ()):
            for peer in rule["to"]:
                if peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0":
                    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= set(
                        peer["ipBlock"]["except"]
                    )


def test_secrets_are_named_and_never_held(objects: Objects) -> None:
    assert objects.of_kind("Secret") == {}
    for name, template in objects.pods():
        for each in template["spec"]["containers"][0].get("env", ()):
            told = "value" in each and (
                each["name"].endswith(("_SECRET", "_PASSWORD", "DATABASE_URL", "MONGODB_URL")) or "@" in each["value"]
            )
            assert not told, f"{name}: {each['name']}"


def test_only_the_migration_knows_the_administrator_of_the_database(objects: Objects) -> None:
    knowing = [
        name
        for name, template in objects.pods()
        for each in template["spec"]["containers"][0].get("env", ())
        if each["name"] == "UPLIFT_ADMIN_DATABASE_URL"
    ]
    assert knowing == ["Job uplift-migrate"]


def test_jobs_run_before_a_release_and_keep_their_logs(objects: Objects) -> None:
    jobs = objects.of_kind("Job")
    order = sorted(jobs, key=lambda name: int(jobs[name]["metadata"]["annotations"]["helm.sh/hook-weight"]))
    assert order == ["uplift-migrate", "uplift-topics", "uplift-provision"]
    assert len({each["metadata"]["annotations"]["helm.sh/hook-weight"] for each in jobs.values()}) == len(jobs)
    needed = [each for each in objects if each["kind"] != "Job" and hook_of(each)]
    assert {"ServiceAccount", "NetworkPolicy"} <= {each["kind"] for each in needed}
    for each in jobs.values():
        annotations = each["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation"
        assert each["spec"]["backoffLimit"] <= 1
        assert each["spec"]["activeDeadlineSeconds"] <= 600
        for other in needed:
            weight = int(other["metadata"]["annotations"]["helm.sh/hook-weight"])
            assert weight < int(annotations["helm.sh/hook-weight"])


def test_everything_that_hooks_made_is_removed(render: Render, environment: str) -> None:
    """test_releases.py has it removed."""
    made = {(each["kind"], each["metadata"]["name"]) for each in render(environment) if hook_of(each)}
    removing = render(environment, removing=True)
    assert {(each["kind"], each["metadata"]["name"]) for each in removing} == made
    for each in removing:
        policies = each["metadata"]["annotations"]["helm.sh/hook-delete-policy"].split(",")
        assert {"before-hook-creation", "hook-succeeded"} == set(policies)
        # It starts no pod.
        assert each["kind"] != "Job" or each["spec"]["completions"] == 0


def test_external_secrets_hold_what_pods_ask_for(render: Render) -> None:
    objects = render("prod", SCALING)
    held = {
        name: {each["secretKey"] for each in secret["spec"]["data"]}
        for name, secret in objects.of_kind("ExternalSecret").items()
    }
    asked: dict[str, set[str]] = {}
    for _, template in objects.pods():
        for each in template["spec"]["containers"][0].get("env", ()):
            if "valueFrom" in each:
                reference = each["valueFrom"]["secretKeyRef"]
                asked.setdefault(reference["name"], set()).add(reference["key"])
    assert held == asked


def test_a_service_account_may_have_an_iam_role(render: Render) -> None:
    role = "arn:aws:iam::123456789012:role/uplift-ingest"
    accounts = render("prod", {"services": {"ingest": {"iamRole": role}}}).of_kind("ServiceAccount")
    annotated = {name: each["metadata"].get("annotations", {}) for name, each in accounts.items()}
    assert annotated["uplift-ingest"] == {"eks.amazonaws.com/role-arn": role}
    assert "eks.amazonaws.com/role-arn" not in annotated["uplift-forms"]


def test_every_process_that_speaks_to_kafka_has_its_authority(render: Render) -> None:
    objects = render("prod", {"kafka": {"caSecret": "kafka-ca"}})
    pods = [(name, pod["spec"]) for name, pod in objects.pods() if "uplift-page" not in name]
    assert len(pods) > 14
    for name, pod in pods:
        (container,) = pod["containers"]
        file = {each["name"]: each.get("value") for each in container["env"]}["UPLIFT_KAFKA_CA_FILE"]
        mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
        secrets = {each["name"]: each["secret"] for each in pod["volumes"] if "secret" in each}
        folder, _, key = file.rpartition("/")
        assert secrets[mounts[folder]] == {"secretName": "kafka-ca", "items": [{"key": key, "path": key}]}, name
