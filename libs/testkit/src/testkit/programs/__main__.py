"""`python -m testkit.programs`: fetches and builds the programs that tests and the stack start, so that no test waits for it;
with `cluster` those that tests of the Helm charts start.

What this machine lacks is said in one sentence, and is an error only where the environment says `CI=true`.
"""

import shutil
import sys
import time

from testkit.programs import ProgramMissing
from testkit.programs.custom_resources import crd_folder
from testkit.programs.envoy import envoy_binary
from testkit.programs.helm import helm
from testkit.programs.kafka import jars_folder
from testkit.programs.keda_cron import keda_cron
from testkit.programs.keycloak import ensure_keycloak
from testkit.programs.kubernetes import etcd, kube_apiserver
from testkit.programs.mongodb import ferretdb
from testkit.programs.program import find_tool, on_ci
from testkit.programs.prometheus import CURE

PROGRAMS = {
    "Kafka": jars_folder,
    "MongoDB": lambda: shutil.which("mongod") or ferretdb(),
    "Keycloak": ensure_keycloak,
    "Envoy": envoy_binary,
    "KEDA's cron": keda_cron,
    "Prometheus": lambda: find_tool("prometheus", CURE),
}

CLUSTER_PROGRAMS = {"Helm": helm, "CRDs": crd_folder, "etcd": etcd, "kube-apiserver": kube_apiserver}
"""What tests of the Helm charts start: `python -m testkit.programs cluster`."""


def main() -> int:
    missing = 0
    for name, get in (CLUSTER_PROGRAMS if sys.argv[1:] == ["cluster"] else PROGRAMS).items():
        began = time.monotonic()
        print(f"{name:15}", end="", flush=True)
        try:
            get()
            print(f"ready after {time.monotonic() - began:.0f} s", flush=True)
        except ProgramMissing as reason:
            missing += 1
            print(f"left out: {reason}", flush=True)
    return int(missing > 0 and on_ci())


if __name__ == "__main__":
    sys.exit(main())
