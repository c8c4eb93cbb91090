"""Downloads and builds the programs that tests and the stack start, so that no test waits for it.

    python -m testkit.programs
    python -m testkit.programs cluster

`cluster` stands for the programs that tests of the Helm charts start. A program that this machine cannot build is
reported with the reason. That is an error only with `CI=true` in the environment.
"""

import shutil
import sys
import time

from testkit.programs import ProgramMissing
from testkit.programs.actionlint import actionlint
from testkit.programs.custom_resources import crd_folder, strimzi_crd_folder
from testkit.programs.envoy import envoy_binary
from testkit.programs.helm import helm
from testkit.programs.kafka import jars_folder
from testkit.programs.keda import keda_adapter, keda_operator
from testkit.programs.keda_cron import keda_cron
from testkit.programs.keycloak import ensure_keycloak
from testkit.programs.kubernetes import etcd, kube_apiserver
from testkit.programs.kubernetes_cluster import kube_controller_manager, kube_scheduler, kwok
from testkit.programs.kustomize import kustomize
from testkit.programs.mongodb import ferretdb
from testkit.programs.program import find_tool, on_ci
from testkit.programs.prometheus import CURE

PROGRAMS = {
    "Kafka": jars_folder,
    "MongoDB": lambda: shutil.which("mongod") or ferretdb(),
    "Keycloak": ensure_keycloak,
    "Envoy": envoy_binary,
    "KEDA's cron": keda_cron,
    "actionlint": actionlint,
    "Prometheus": lambda: find_tool("prometheus", CURE),
}

CLUSTER_PROGRAMS = {
    "Helm": helm,
    "Kustomize": kustomize,
    "CRDs": crd_folder,
    "Strimzi's CRDs": strimzi_crd_folder,
    "etcd": etcd,
    "kube-apiserver": kube_apiserver,
    "kube-controller-manager": kube_controller_manager,
    "kube-scheduler": kube_scheduler,
    "kwok": kwok,
    "KEDA's operator": keda_operator,
    "KEDA's metrics server": keda_adapter,
    "Kafka": jars_folder,
}
"""The programs that tests of the Helm charts and of k8s/ start."""


def main() -> int:
    """Returns the exit status: 1 where a program is missing and `CI=true`."""
    missing = 0
    for name, get in (CLUSTER_PROGRAMS if sys.argv[1:] == ["cluster"] else PROGRAMS).items():
        began = time.monotonic()
        print(f"{name:25}", end="", flush=True)
        try:
            get()
            print(f"ready after {time.monotonic() - began:.0f} s", flush=True)
        except ProgramMissing as reason:
            missing += 1
            print(f"left out: {reason}", flush=True)
    return int(missing > 0 and on_ci())


if __name__ == "__main__":
    sys.exit(main())
