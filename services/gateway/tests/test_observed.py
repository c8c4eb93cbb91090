"""Spans, metrics, TLS: what depends on settings that are off by default."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from testkit import wait_until_true
from testkit.programs import free_port
from testkit.programs.envoy import Envoy

API = "/api/training/v1"
TRACE = "0af7651916cd43dd8448eb211c80319c"


async def test_spans_go_to_the_collector_and_the_trace_goes_on(
    gateway_for: Callable[..., Envoy], upstream: Any, bearer: dict[str, str]
) -> None:
    gateway = gateway_for(otlp_endpoint=f"http://{upstream.address}")
    parent = "b7ad6b7169203331"
    async with httpx.AsyncClient(base_url=gateway.url, headers=bearer, timeout=20) as client:
        answer = await client.get(f"{API}/x", headers={"traceparent": f"00-{TRACE}-{parent}-01"})
        _, trace, span, sampled = answer.json()["headers"]["traceparent"].split("-")
        assert trace == TRACE
        assert span != parent
        assert sampled == "01"

        async def collected() -> bool:
            await client.get(f"{API}/x")
            return (await asyncio.to_thread(upstream.hits)).get("POST traces", 0) > 0

        await wait_until_true(collected, seconds=30)


async def test_metrics_are_all_that_the_second_door_shows(gateway_for: Callable[..., Envoy]) -> None:
    port = free_port()
    gateway = gateway_for(metrics_port=port)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        metrics = await client.get("/metrics")
        assert "envoy_http_downstream_rq_total" in metrics.text
        for path in ("/config_dump", "/quitquitquit", "/stats", "/", "/healthcheck/fail"):
            assert (await client.post(path)).status_code == 404
    async with httpx.AsyncClient(base_url=gateway.url) as client:
        assert (await client.get("/metrics")).status_code == 404


async def test_tls_is_spoken_and_insisted_on(
    gateway_for: Callable[..., Envoy], tmp_path: Path, bearer: dict[str, str]
) -> None:
    certificate, key = certificate_for("localhost", tmp_path)
    gateway = gateway_for(tls_certificate=str(certificate), tls_key=str(key))
    trusting = ssl.create_default_context(cafile=str(certificate))
    url = f"https://localhost:{gateway.port}"
    async with httpx.AsyncClient(base_url=url, headers=bearer, verify=trusting, timeout=20) as client:
        answer = await client.get(f"{API}/x")
    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"].startswith("max-age=31536000")
    assert answer.json()["headers"]["x-forwarded-proto"] == "https"


def certificate_for(name: str, folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return certificate, private
