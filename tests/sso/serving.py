"""Identity and forms with the page at `/`, as one process whose issuer is the environment's: `python -m tests.sso.serving
PORT`. The gateway does this in front of processes of their own."""

import asyncio
import sys

from all_in_one.front_page import PAGE_HEADERS, front_page
from fastapi.responses import HTMLResponse
from forms.service import service as forms
from identity.service import service as identity
from servicekit.run import root_app, run_services
from servicekit.server import Server
from servicekit.settings import PlatformSettings

SERVICES = (identity, forms)


async def serve(port: int) -> None:
    settings = PlatformSettings()
    page = front_page(SERVICES, url=f"http://127.0.0.1:{port}", uplift="uplift", demo=False, issuer=settings.issuer)
    async with run_services(SERVICES, settings) as process:
        app = root_app(process)
        app.add_api_route("/", lambda: HTMLResponse(page, headers=PAGE_HEADERS), include_in_schema=False)
        await Server(app, process, host="127.0.0.1", port=port).serve()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
