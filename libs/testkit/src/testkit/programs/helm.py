"""Helm, built by Go from its module. It renders and checks charts without a cluster."""

import subprocess
from pathlib import Path

from testkit.programs.program import build_go_project

VERSION = "3.18.6"
KUBE_VERSION = "1.34.0"
"""The version of Kubernetes that charts are rendered for."""
CURE = "install Go 1.24 or later, with which Helm is built"
PROJECT = Path(__file__).with_name("helm")


class HelmFailed(Exception):
    """Helm refused a chart or its values. The message is Helm's."""


def helm() -> Path:
    """The program, built at the first call. Raises ProgramMissing."""
    stamp = f"-X helm.sh/helm/v3/internal/version.version=v{VERSION}"
    return build_go_project("helm", PROJECT, CURE, package="helm.sh/helm/v3/cmd/helm", link=stamp)


def run_helm(*arguments: str | Path) -> str:
    """Runs Helm and returns its output. Raises HelmFailed."""
    done = subprocess.run(
        [helm(), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"HOME": "/nonexistent", "PATH": ""},
    )
    if done.returncode:
        raise HelmFailed(done.stderr + done.stdout)
    return done.stdout
