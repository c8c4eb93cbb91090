"""Kustomize, built by Go: it renders the folders of k8s/."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from testkit.programs.program import build_go_project

CURE = "install Go 1.24 or later, with which Kustomize is built"
PROJECT = Path(__file__).with_name("kustomize")


class KustomizeFailed(Exception):
    """What Kustomize says against a folder."""


def kustomize() -> Path:
    """The program, built at the first call. Raises ProgramMissing."""
    return build_go_project("kustomize", PROJECT, CURE, package="sigs.k8s.io/kustomize/kustomize/v5")


def build_kustomization(folder: Path) -> list[dict[str, Any]]:
    """The objects of a folder. Raises KustomizeFailed."""
    done = subprocess.run(
        [kustomize(), "build", folder],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"HOME": "/nonexistent", "PATH": ""},
    )
    # A deprecated field is told on the error output only.
    if done.returncode or done.stderr:
        raise KustomizeFailed(done.stderr)
    return list(yaml.safe_load_all(done.stdout))
