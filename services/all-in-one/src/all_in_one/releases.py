"""A customer's folder in k8s/: a release of its own, written after the pattern of another customer's."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

FILES = ("release.yaml", "values.yaml", "data/namespace.yaml", "data/kustomization.yaml")
"""What a customer's folder holds. `release.yaml` is last to be written: Argo CD makes an installation of each."""

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?")
_RELEASE = """\
# A customer with an installation of its own: its own namespace, Kafka, databases and address.
environment: {environment}
customer: {customer}
namespace: uplift-{customer}
# The version of the chart, and with it of the images. A new one is a commit here.
version: {version}
"""


class CannotWriteRelease(Exception):
    """One sentence that says why, and the cure."""


@dataclass(frozen=True)
class Release:
    """The release of `customer` at `public_url`. `customers`: the folder of an environment's customers. `like`: the customer
    there whose files are the pattern."""

    customer: str
    public_url: str
    customers: Path
    like: str

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.customers / self.customer

    @property
    def environment(self) -> str:
        """The environment, by the folder's path: `environments/<environment>/customers`."""
        return self.customers.resolve().parent.name

    @property
    def prefix(self) -> str:
        """The prefix of its entries in the secret store."""
        return f"uplift/{self.environment}/{self.customer}"


def write_release(release: Release) -> list[Path]:
    """Writes the files that are missing, each whole or not at all. Returns them. Raises CannotWriteRelease for a name or an
    address that does not fit, a pattern that is none, and a file that is there with another content."""
    contents = render_release(release)
    there = {name: (release.folder / name) for name in FILES if (release.folder / name).exists()}
    if differing := [str(file) for name, file in there.items() if file.read_text() != contents[name]]:
        raise CannotWriteRelease(
            f"`{release.customer}` is there already, and differs in {', '.join(differing)}. Choose another slug, or edit it by hand."
        )
    written = [release.folder / name for name in reversed(FILES) if name not in there]
    for file in written:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_name(f".{file.name}.draft")
        draft.write_text(contents[str(file.relative_to(release.folder))])
        os.replace(draft, file)
    return written


def render_release(release: Release) -> dict[str, str]:
    """The text of each of FILES. Raises CannotWriteRelease for a name or an address that does not fit, and a pattern that
    is none."""
    _validate(release)
    pattern = release.customers / release.like
    try:
        texts = {name: (pattern / name).read_text() for name in FILES}
        facts, values = yaml.safe_load(texts["release.yaml"]), yaml.safe_load(texts["values.yaml"])
        old = [facts["namespace"], f"{facts['environment']}/{facts['customer']}", values["publicUrl"]]
        version = facts["version"]
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        raise CannotWriteRelease(f"{pattern} is no customer to write another after ({error}). Give --like.") from None
    new = [f"uplift-{release.customer}", f"{release.environment}/{release.customer}", release.public_url]
    replaced = {name: _replace(text, dict(zip(old, new, strict=True))) for name, text in texts.items()}
    replaced["release.yaml"] = _RELEASE.format(
        environment=release.environment, customer=release.customer, version=version
    )
    _verify(release, {name: yaml.safe_load(text) for name, text in replaced.items()})
    return replaced


def _validate(release: Release) -> None:
    if not _NAME.fullmatch(release.customer):
        raise CannotWriteRelease(
            f"`{release.customer}` cannot be a namespace's name. Use at most 42 of a-z 0-9 -, no - at an end."
        )
    if release.customer == "cluster" or release.customer.endswith("-data"):
        raise CannotWriteRelease(f"`{release.customer}` is like a name of Argo CD's own applications. Give another.")
    parts = urlsplit(release.public_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
        raise CannotWriteRelease(
            f"`{release.public_url}` is no address of a release. Give one such as https://acme.example.org."
        )
    for file in sorted(release.customers.glob("*/values.yaml")):
        taken = (yaml.safe_load(file.read_text()) or {}).get("publicUrl")
        if taken == release.public_url and file.parent != release.folder:
            raise CannotWriteRelease(f"{taken} is the address of `{file.parent.name}`. Give another --public-url.")


def _replace(text: str, new_by_old: dict[str, str]) -> str:
    """Replaces whole names only: `uplift-shared` is not replaced in `uplift-shared-2`."""
    names = "|".join(re.escape(each) for each in sorted(new_by_old, key=len, reverse=True))
    return re.sub(rf"(?<![\w-])({names})(?![\w-])", lambda found: new_by_old[found[0]], text)


def _verify(release: Release, files: dict[str, Any]) -> None:
    """Raises CannotWriteRelease when the pattern's files do not hold the facts where a release has them."""
    values, data = files["values.yaml"], files["data/kustomization.yaml"]
    namespace = f"uplift-{release.customer}"
    patches = "\n".join(each["patch"] for each in data.get("patches", []))
    found = {
        "publicUrl": values.get("publicUrl") == release.public_url,
        "secrets.prefix": values.get("secrets", {}).get("prefix") == release.prefix,
        "keycloak.namespace": values.get("keycloak", {}).get("namespace") == namespace,
        "the namespace": files["data/namespace.yaml"]["metadata"]["name"] == data.get("namespace") == namespace,
        "the stores' passwords": f"{release.prefix}/data" in patches,
        "Keycloak's address": f'"{release.public_url}"' in patches,
    }
    if missing := [fact for fact, right in found.items() if not right]:
        raise CannotWriteRelease(f"`{release.like}` is no pattern: it does not say {', '.join(missing)}. Give --like.")


def list_next_steps(release: Release) -> list[str]:
    """What a person does with the files: by Argo CD, or by hand; then the tenant in the new installation."""
    folder, version = release.folder, yaml.safe_load((release.folder / "release.yaml").read_text())["version"]
    return [
        "Passwords, in the secret store:",
        *(f"  {release.prefix}/{entry}" for entry in ("services", "admin", "data")),
        "With Argo CD, which makes namespace, stores and release of these files:",
        f"  git add {folder} && git commit --message 'Release {release.customer}' && git push",
        "Without it:",
        f"  kubectl apply --server-side --kustomize {folder}/data",
        f"  helm upgrade --install uplift oci://ghcr.io/uplift/charts/uplift --version {version} "
        f"--namespace uplift-{release.customer} --values {folder}/values.yaml "
        f"--values charts/uplift/values/scaling-{release.environment}.yaml --timeout 20m --wait",
        "Then the tenant in it:",
        f"  uplift tenant create {release.customer} --url {release.public_url} --token TOKEN --name NAME --blueprint FILE",
    ]
