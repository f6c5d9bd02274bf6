"""What is deleted while a watch is broken: its resume is answered with 410, and nobody says what is gone since."""

import asyncio

from operator_replicas import LIMIT_S, is_served, replicas, until
from whisper_client_objects import client_body
from whisper_server_objects import body

from whisper_dispatcher.jobs.clients import list_clients

SERVER, CLIENT = ("WhisperServer", "speech", "demo"), ("WhisperClient", "speech", "app")
CHILD_KINDS = ("Deployment", "Job", "NetworkPolicy", "PersistentVolumeClaim", "Secret", "Service")


def collect(cluster, name):
    """As the garbage collector does."""
    for key, live in list(cluster.objects.items()):
        if any(owner["name"] == name for owner in live["metadata"].get("ownerReferences", [])):
            cluster._tell("DELETED", cluster.objects.pop(key))


async def test_the_children_of_a_server_that_is_gone_are_not_made_again(cluster, queue_url):
    async with replicas(cluster, queue_url, "a") as (operator,):
        await until(lambda: is_served(cluster))
        cluster.delete_unseen(*SERVER)
        await until(lambda: not operator.runner.reconciler.servers)
        collect(cluster, "demo")
        cluster.hold(body(name="other", uid="u-2"))
        await until(lambda: ("Deployment", "speech", "other") in cluster.objects)
        assert not [key for key in cluster.objects if key[0] in CHILD_KINDS and key[2].startswith("demo")]


async def test_a_client_that_is_gone_is_revoked_and_gets_no_secret_again(cluster, queue_url, jetstream):
    async with replicas(cluster, queue_url, "a"):
        key = await registered(cluster, jetstream)
        cluster.delete_unseen(*CLIENT)
        collect(cluster, "app")
        await revoked(key, jetstream)
        assert ("Secret", "speech", "app-key") not in cluster.objects


async def test_a_client_that_was_made_anew_has_another_key(cluster, queue_url, jetstream):
    async with replicas(cluster, queue_url, "a"):
        key = await registered(cluster, jetstream)
        cluster.delete_unseen(*CLIENT)
        cluster.hold(client_body(uid="c-2"))
        collect(cluster, "app")
        await revoked(key, jetstream)
        await registered(cluster, jetstream)


async def registered(cluster, jetstream):
    """The hash of its key."""
    await until(lambda: "Registered" in [each["reason"] for each in conditions_of(cluster.objects[CLIENT])])
    (key,) = await list_clients(jetstream)
    return key


def conditions_of(live):
    return live.get("status", {}).get("conditions", [])


async def revoked(key, jetstream):
    async with asyncio.timeout(LIMIT_S):
        while key in await list_clients(jetstream):  # noqa: ASYNC110  NATS has nothing to wait for
            await asyncio.sleep(0.02)
