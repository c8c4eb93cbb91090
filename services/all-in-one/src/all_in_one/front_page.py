"""The page at `/`: the services, sign-in, and how to send a file. A placeholder until there is a portal."""

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from urllib.parse import urlsplit

from servicekit import Service

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>Uplift</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ font: 1rem/1.55 system-ui, sans-serif; max-width: 46rem; margin: 2.5rem auto; padding: 0 1.25rem; }}
  h1 {{ margin-bottom: .2rem; }}
  h2 {{ margin-top: 2rem; font-size: 1.15rem; }}
  pre {{ background: color-mix(in srgb, currentColor 8%, transparent); padding: .8rem 1rem; overflow-x: auto;
         border-radius: .4rem; }}
  table {{ border-collapse: collapse; width: 100%; }}
  td code {{ font-size: .8rem; overflow-wrap: anywhere; }}
  th, td {{ text-align: left; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid color-mix(in srgb, currentColor 18%, transparent); }}
  .note {{ border-left: .3rem solid #b8860b; padding-left: .8rem; }}
</style>
</head>
<body>
<h1>Uplift</h1>
<p>Running a call centre on facts: vendor call records in; KPI, band, training, points and notice out.</p>
{note}
<section aria-labelledby="you">
<h2 id="you">You</h2>
<p id="who" role="status">You are not signed in.</p>
<p id="problem" role="alert"></p>
<p><button id="sign-in" type="button">Sign in</button> <button id="sign-out" type="button" hidden>Sign out</button>
<button id="again" type="button">Who am I?</button></p>
</section>
<h2>The services</h2>
<table>
<thead><tr><th scope="col">Service</th><th scope="col">Base address</th><th scope="col">OpenAPI</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
<p>Beside them: {beside}.</p>
{what_next}
<script type="application/json" id="config">{config}</script>
<script>{script}</script>
</body>
</html>
"""

PAGE_HEADERS = {"content-security-policy": "frame-ancestors 'none'"}
"""`frame-ancestors` works as a header only; the rest of the policy is in the page."""

_SIMULATED = (
    '<p class="note">Tenant <code>demo</code> is <strong>simulated</strong>: its calls are made up, and what it shows of '
    "training's effect is what the simulation put in.</p>"
)


_WITH_DEMO = """<h2>Send a file</h2>
<pre>{uplift} ingest --url {url} --source amazon-connect FILE.ndjson.gz</pre>
<p>or, with any HTTP client:</p>
<pre>TOKEN=$({uplift} token admin --url {url})
curl -H "Authorization: Bearer $TOKEN" --data-binary @FILE.json \\
  {url}/api/ingest/v1/sources/amazon-connect/records</pre>
<h2>Ask a question</h2>
<pre>{uplift} api --url {url} --as lead 'kpi-engine/v1/kpis/silence_pct/values?by=agent&amp;grain=week' --fields name,window,value</pre>"""

_WITHOUT_DEMO = """<h2>The first tenant</h2>
<pre>export UPLIFT_URL={url} UPLIFT_PASSWORD=A_LONG_PASSWORD
{uplift} login --one-time TOKEN_OF_THE_FIRST_START --new-password "$UPLIFT_PASSWORD" &gt; token
{uplift} api --as platform identity/v1/tenants --data \\
  '{{"slug": "acme", "name": "Acme", "admin": {{"slug": "boss", "display_name": "The Boss", "login": "boss"}}}}'</pre>
<p>People's logins are the identity provider's. The loopback one makes one like this:</p>
<pre>curl {url}/oidc/accounts -H "Authorization: Bearer $({uplift} token platform)" -H "Content-Type: application/json" \\
  --data '{{"username": "boss", "sub": "boss", "tenant": "acme", "password": "'"$UPLIFT_PASSWORD"'"}}'
{uplift} whoami --as boss</pre>
<h2>Set it up, and send a file</h2>
<pre>{uplift} blueprint check --as boss BLUEPRINT.yaml
{uplift} blueprint publish --as boss BLUEPRINT.yaml
{uplift} ingest --as boss --source SOURCE FILE
{uplift} api --as boss 'kpi-engine/v1/kpis/KPI/values?by=agent&amp;grain=week' --fields name,window,value</pre>"""


def front_page(
    services: Sequence[Service],
    *,
    url: str,
    uplift: str,
    demo: bool,
    issuer: str | None = None,
    client_id: str = "portal",
) -> str:
    """The page as HTML. `uplift` is how the command is called; `issuer` None: the embedded provider at `url`/oidc."""
    signs_in = (issuer or f"{url}/oidc").rstrip("/")
    config = {"issuer": signs_in, "client_id": client_id, "scope": "openid profile organization"}
    script = "\n" + files("all_in_one").joinpath("front_page.js").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src '{_sum(script)}'; style-src 'unsafe-inline'; base-uri 'none'; "
        f"form-action 'none'; connect-src 'self' {_origin(signs_in)}"
    )
    development = (
        '<a href="/oidc/docs">identity provider</a> (development only), <a href="/readyz">readiness</a>, '
        '<a href="/lag">what is under way</a>, <a href="/metrics">metrics</a>'
    )
    elsewhere = f'<a href="{escape(signs_in)}/.well-known/openid-configuration">identity provider</a>'
    rows = "\n".join(
        f"<tr><th scope='row'>{escape(each.title)}</th><td><code>{each.prefix.replace('/api/', '/api/<wbr>')}</code></td>"
        f"<td><a href='{each.prefix}/docs'>browse</a></td></tr>"
        for each in services
    )
    what_next = (_WITH_DEMO if demo else _WITHOUT_DEMO).format(url=escape(url), uplift=escape(uplift))
    return _PAGE.format(
        rows=rows,
        what_next=what_next,
        note=_SIMULATED if demo else "",
        beside=development if issuer is None else elsewhere,
        policy=escape(policy),
        # A closing tag in the data would end the element.
        config=json.dumps(config).replace("<", "\\u003c"),
        script=script,
    )


def _sum(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
