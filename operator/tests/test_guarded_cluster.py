"""The API server's client of an operator that may have to be silent, against a real HTTP server."""

from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web

from whisper_operator.cluster import Cluster, NotLeading
from whisper_operator.resources import SERVICES

SERVICE = {"metadata": {"name": "s", "namespace": "n", "uid": "u"}}


@pytest.fixture
async def server():
    """Its address, and the methods that were asked of it."""
    methods = []

    async def answer(request):
        methods.append(request.method)
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", methods
    await runner.cleanup()


WRITES = {
    "apply": lambda cluster: cluster.apply(SERVICES, SERVICE, force=True),
    "delete": lambda cluster: cluster.delete(SERVICES, SERVICE),
    "status": lambda cluster: cluster.merge_status(SERVICES, "n", "s", {}),
    "merge": lambda cluster: cluster.merge(SERVICES, "n", "s", {}),
    "scale": lambda cluster: cluster.scale(SERVICES, "n", "s", 1),
    "create": lambda cluster: cluster.create(SERVICES, SERVICE),
    "replace": lambda cluster: cluster.replace(SERVICES, SERVICE),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_write_leaves_only_while_it_may(server, write):
    url, methods = server
    allowed = [True]
    async with aiohttp.ClientSession() as session:
        access = SimpleNamespace(url=url, server_name=None, headers=dict)
        cluster = Cluster(access, session).guarded(lambda: allowed[0])
        await write(cluster)
        allowed[0] = False
        with pytest.raises(NotLeading):
            await write(cluster)
        await cluster.get(SERVICES, "n", "s")
        await cluster.list_all(SERVICES, None, "")
    assert methods[1:] == ["GET", "GET"]
