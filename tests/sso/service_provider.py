"""A small SAML service provider that stands for a subsystem such as Amazon Connect."""

import base64
import shutil
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from pydantic_settings import BaseSettings
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.client import Saml2Client
from saml2.config import SPConfig

from tests.sso.browser import Browser, forms_of


class _Environment(BaseSettings):
    ci: bool = False


def xmlsec() -> str:
    """The program that checks XML signatures."""
    found = shutil.which("xmlsec1")
    if found is None:
        told = "xmlsec1 is missing: install Debian's `xmlsec1`, with which SAML signatures are checked."
        if _Environment().ci:
            pytest.fail(told)
        pytest.skip(told)
    return found


class ServiceProvider:
    def __init__(self, entity_id: str, acs_url: str, metadata: str) -> None:
        settings: dict[str, Any] = {
            "entityid": entity_id,
            "xmlsec_binary": xmlsec(),
            "metadata": {"inline": [metadata]},
            "service": {
                "sp": {
                    "endpoints": {"assertion_consumer_service": [(acs_url, BINDING_HTTP_POST)]},
                    "want_assertions_signed": True,
                    "want_response_signed": True,
                    "authn_requests_signed": False,
                    "allow_unsolicited": True,
                }
            },
            "allow_unknown_attributes": True,
        }
        self.acs_url = acs_url
        self._client = Saml2Client(SPConfig().load(settings))
        self._asked: dict[str, str] = {}

    def sign_in(self, browser: Browser, *, asks: Mapping[str, str] = {}, **typed: str) -> Any:
        """The checked response of the provider to a request of ours, with further parameters in its address."""
        request_id, info = self._client.prepare_for_authenticate(
            relay_state="r-1", binding=BINDING_HTTP_REDIRECT, response_binding=BINDING_HTTP_POST
        )
        self._asked[request_id] = "/"
        location: str = dict(info["headers"])["Location"]  # pyright: ignore
        url = httpx.URL(location).copy_merge_params(asks)
        return self._take(browser, str(url), typed)

    def start_at(self, browser: Browser, url: str) -> Any:
        """The checked response when the provider begins, as Amazon Connect wants it."""
        return self._take(browser, url, {})

    def _take(self, browser: Browser, url: str, typed: Mapping[str, str]) -> Any:
        page = browser.http.get(url)
        while page.is_redirect:
            page = browser.http.get(page.headers["location"])
        (form,) = forms_of(page)
        if typed:
            page = browser.submit(page, form, dict(typed), self.acs_url)
            assert not isinstance(page, str), "an answer by POST was asked for"
            (form,) = forms_of(page)
        assert form.action == self.acs_url, f"a page that is no answer: {page.text[-800:]}"
        assert b"Assertion" in base64.b64decode(form.fields["SAMLResponse"])
        return self._client.parse_authn_request_response(
            form.fields["SAMLResponse"], BINDING_HTTP_POST, outstanding=dict(self._asked)
        )
