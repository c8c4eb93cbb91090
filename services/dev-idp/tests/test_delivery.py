"""Logout tokens go to this installation itself, and to tenants' addresses outside."""

import asyncio

import pytest
from dev_idp.logout import LogoutTokenSender
from servicekit.outbound import AddressRefused, UrlPolicy


async def test_a_tenants_address_inside_is_not_called():
    heard = []

    async def serve(reader, writer):
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/logout"
        with pytest.raises(AddressRefused):
            await LogoutTokenSender(UrlPolicy())(url, "token", tenant="acme")
        assert heard == []
        await LogoutTokenSender(UrlPolicy())(url, "token", tenant=None)
        await LogoutTokenSender(UrlPolicy(allow_private=True))(url, "token", tenant="acme")
    assert len(heard) == 2
