"""Minimum replicas of plain HPAs, moved through Kubernetes' API by a pod with the token of a service account."""

import ssl
from pathlib import Path

import httpx

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds `token`, `ca.crt` and `namespace`."""
FIELD_MANAGER = "uplift-scaling"
"""By which the API server knows who set minReplicas."""


class ClusterError(Exception):
    """The API server refused, or did not answer; one sentence."""


def read_namespace(account: Path) -> str:
    """The pod's namespace. Raises OSError outside of a pod."""
    return (account / "namespace").read_text().strip()


def connect_from_pod(account: Path, url: str) -> httpx.Client:
    """A client of the API server at `url` with the account's token, which trusts the cluster's authority alone. Raises
    OSError where the account's files are missing."""
    token = (account / "token").read_text().strip()
    authority = ssl.create_default_context(cadata=(account / "ca.crt").read_text())
    # Python 3.13 asks for extensions that the certificates of many clusters lack, by RFC 5280. Signature and name still hold.
    authority.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}, verify=authority, timeout=20)


def patch_min_replicas(client: httpx.Client, namespace: str, name: str, replicas: int) -> None:
    """Sets minReplicas of an HPA; the same value again changes nothing. Raises ClusterError."""
    path = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}"
    try:
        answer = client.patch(
            path,
            json={"spec": {"minReplicas": replicas}},
            headers={"content-type": "application/merge-patch+json"},
            params={"fieldManager": FIELD_MANAGER},
        )
    except httpx.HTTPError as error:
        raise ClusterError(f"{name}: Kubernetes' API does not answer ({type(error).__name__}).") from error
    if answer.is_error:
        raise ClusterError(f"{name}: {_read_refusal(answer)}")


def _read_refusal(answer: httpx.Response) -> str:
    try:
        return f"{answer.status_code}: {answer.json()['message']}"
    except (ValueError, LookupError, TypeError):
        return f"{answer.status_code}: {answer.text[:200]}"
