"""The configuration itself, before anything runs, and the command that writes it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from contracts import ALL_SERVICES
from fastapi_offline import FastAPIOffline
from gateway.__main__ import main
from gateway.bootstrap import render
from gateway.routes import PUBLIC_SUFFIXES
from gateway.settings import GatewaySettings, parse_addresses
from testkit.programs.envoy import validate_config


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GATEWAY_PORT", "GATEWAY_ISSUER", "UPLIFT_ISSUER", "UPLIFT_JWKS_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"upstream": "http://{service}:8000", "provider": "keycloak:8080"},
        {"upstreams": {"ingest": "127.0.0.1:8102,127.0.0.1:8112"}, "provider": "127.0.0.1:8180"},
        {"provider_paths": ("/oidc",), "provider_hidden": (), "jwks_url": "http://127.0.0.1:8000/oidc/jwks"},
        {"provider_paths": ()},
        {"services": ("training",), "page": "127.0.0.1:1"},
        {"jwks_url": "https://id.example.org/keys", "public_url": "https://uplift.example.org", "trusted_proxies": 1},
        {"otlp_endpoint": "https://collector.example.org", "trace_percent": 0.5},
        {"metrics_port": 9902, "metrics_host": "0.0.0.0"},
        {"idle_seconds": 0.25, "heap_bytes": 64 << 20, "origins": ()},
    ],
    ids=lambda settings: ",".join(settings) or "default",
)
def test_envoy_would_start_with_it_and_has_nothing_to_say(
    settings: dict[str, Any], tmp_path: Path, envoy_binary: str
) -> None:
    assert validate_config(render(GatewaySettings(**settings)), tmp_path) == ""


def test_envoy_is_really_asked(tmp_path: Path, envoy_binary: str) -> None:
    assert "no_such_thing" in validate_config("no_such_thing: 1", tmp_path)


def test_the_same_settings_give_the_same_text() -> None:
    assert render(GatewaySettings()) == render(GatewaySettings())
    assert "&id" not in render(GatewaySettings())


def test_every_page_of_a_description_is_public() -> None:
    pages = [str(route.path) for route in FastAPIOffline().routes]  # type: ignore[attr-defined]
    public = re.compile("|".join(PUBLIC_SUFFIXES))
    assert len(pages) >= 5
    for page in pages:
        whole = f"{page}/swagger-ui.css" if page.startswith("/static") else page
        assert public.fullmatch(whole), page


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_ORIGINS", "https://a.example.org, https://b.example.org")
    monkeypatch.setenv("GATEWAY_UPSTREAMS", '{"forms": "127.0.0.1:1,127.0.0.1:2"}')
    monkeypatch.setenv("GATEWAY_PROVIDER_PATHS", "/oidc")
    monkeypatch.setenv("UPLIFT_ISSUER", "https://id.example.org")
    settings = GatewaySettings()
    assert settings.allowed_origins == ("https://a.example.org", "https://b.example.org")
    assert settings.addresses("forms") == [("127.0.0.1", 1), ("127.0.0.1", 2)]
    assert settings.addresses("training") == [("training", 8000)]
    assert settings.provider_paths == ("/oidc",)
    assert settings.token_issuer == "https://id.example.org"


def test_what_is_not_said_follows_from_the_public_address_and_the_provider() -> None:
    settings = GatewaySettings(public_url="https://uplift.example.org/", provider="127.0.0.1:8180")
    assert settings.token_issuer == "https://uplift.example.org/realms/uplift"
    assert settings.allowed_origins == ("https://uplift.example.org",)
    assert settings.keys_url == "http://127.0.0.1:8180/realms/uplift/protocol/openid-connect/certs"


@pytest.mark.parametrize("bad", ["https://forms:8000", "http://forms:8000/api", "", "forms:port"])
def test_an_address_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(ValueError):
        parse_addresses(bad)


def test_the_command_writes_and_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, envoy_binary: str
) -> None:
    monkeypatch.setenv("GATEWAY_PORT", "18080")
    file = tmp_path / "envoy.yaml"
    assert main(["render", "--output", str(file)]) == 0
    assert main(["render"]) == 0
    assert capsys.readouterr().out == file.read_text() == render(GatewaySettings())
    written = yaml.safe_load(file.read_text())
    assert written["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] == 18080
    assert main(["validate", "--envoy", envoy_binary]) == 0


@pytest.mark.parametrize(
    "name,value,told",
    [
        ("GATEWAY_TENANT_RATE", "none", "tenant_rate"),
        ("GATEWAY_UPSTREAM", "https://{service}", "is not host:port"),
        ("GATEWAY_JWKS_URL", "file:///keys", "is not an http or https URL"),
        ("GATEWAY_TLS_KEY", "key.pem", "tls_certificate"),
        ("GATEWAY_PAGE", "https://portal", "host:port"),
        ("GATEWAY_UPSTREAMS", '{"nobody": "127.0.0.1:1"}', "nobody"),
    ],
)
def test_a_setting_that_cannot_be_is_named(
    name: str, value: str, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert main(["render"]) == 2
    assert told in capsys.readouterr().err


def test_the_guide_lists_every_setting_with_its_default() -> None:
    guide = (Path(__file__).parents[3] / "docs/guides/gateway.md").read_text()
    told = dict(re.findall(r"^\| `GATEWAY_([A-Z_]+)` \| (.*?) \|", guide, re.MULTILINE))
    assert told == {name.upper(): shown(field.default) for name, field in GatewaySettings.model_fields.items()}


def shown(default: Any) -> str:
    if default == ALL_SERVICES:
        return "all of them"
    if isinstance(default, tuple):
        return ",".join(default)
    return "none" if default in (None, {}) else str(default)
