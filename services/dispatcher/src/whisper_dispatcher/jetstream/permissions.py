"""What each role may publish and subscribe: one NATS user per role, whether nats-server reads it from its own file or
from the user's signed credentials."""

from __future__ import annotations

from typing import Any, Literal, get_args

from whisper_contracts import names

Role = Literal["gateway", "planner", "worker", "bot", "admin", "system"]
ROLES: tuple[Role, ...] = get_args(Role)

_OBJECTS = f"OBJ_{names.AUDIO_BUCKET}"
_CLIENTS = f"KV_{names.CLIENTS_BUCKET}"
_MODELS = f"KV_{names.MODELS_BUCKET}"


def permissions(role: Role, models: tuple[str, ...], *, inbox: str | None = None) -> dict[str, Any]:
    """Subjects that a role may publish and subscribe.

    models: whose queues a worker may pull. inbox: prefix of the subjects that replies come to, where several users
    have one role.
    """
    publish, subscribe = {
        "gateway": (_GATEWAY, (names.WORKER_SUBJECTS,)),
        "planner": (_PLANNER, ()),
        "worker": (_worker_subjects(models), (names.CANCEL_SUBJECTS,)),
        "bot": (_BOT, ()),
        "admin": ((">",), (">",)),
        "system": ((), ()),
    }[role]
    # An inbox of its own: whoever may listen on another role's inbox reads the audio that arrives there.
    return {
        "publish": {"allow": list(publish)},
        "subscribe": {"allow": [f"{inbox or f'_INBOX_{role}'}.>", *subscribe]},
    }


def _reading(stream: str) -> tuple[str, ...]:
    return (
        f"$JS.API.STREAM.INFO.{stream}",
        f"$JS.API.DIRECT.GET.{stream}",
        f"$JS.API.DIRECT.GET.{stream}.>",
        f"$JS.API.CONSUMER.CREATE.{stream}",
        f"$JS.API.CONSUMER.CREATE.{stream}.>",
        f"$JS.API.CONSUMER.DELETE.{stream}.*",
        f"$JS.FC.{stream}.>",
    )


def _looking(stream: str) -> tuple[str, ...]:
    """How much waits, not what."""
    return (f"$JS.API.STREAM.INFO.{stream}", f"$JS.API.CONSUMER.INFO.{stream}.*")


def _purging(*streams: str) -> tuple[str, ...]:
    return tuple(f"$JS.API.STREAM.PURGE.{stream}" for stream in streams)


def pulling(stream: str, consumer: str) -> tuple[str, ...]:
    return (f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", f"$JS.ACK.{stream}.{consumer}.>")


_BOTH = (
    *_reading(names.JOURNAL_STREAM),
    *_reading(_CLIENTS),
    *_reading(_MODELS),
    *_reading(_OBJECTS),
    f"$O.{names.AUDIO_BUCKET}.>",
    *_looking(names.PLAN_STREAM),
    *_looking(names.WINDOWS_STREAM),
    *_looking(names.HOOKS_STREAM),
    *_purging(names.JOURNAL_STREAM, names.PLAN_STREAM, names.WINDOWS_STREAM, names.HOOKS_STREAM, _OBJECTS),
    names.PLAN_SUBJECTS,
    names.HOOKS_SUBJECTS,
    names.UPLOAD_SUBJECTS,
    names.CANCEL_SUBJECTS,
    names.state_subject("*", "*"),
)
_GATEWAY = (*_BOTH, names.AUDIO_SUBJECTS, names.record_subject("*", "*"))
_PLANNER = (
    *_BOTH,
    *pulling(names.PLAN_STREAM, "*"),
    *pulling(names.HOOKS_STREAM, "*"),
    names.WINDOWS_SUBJECTS,
    names.DEAD_SUBJECTS,
    names.plan_result_subject("*", "*"),
    names.queue_written_filter("*", "window"),  # of a silent window the planner writes the empty result itself
)


_BOT_STREAMS = ("TELEGRAM", "TELEGRAM_UPDATES")
_BOT = (
    "telegram.>",
    *(subject for stream in _BOT_STREAMS for subject in (*_reading(stream), *_purging(stream), *pulling(stream, "*"))),
    *(f"$JS.API.STREAM.{verb}.{stream}" for stream in _BOT_STREAMS for verb in ("CREATE", "UPDATE", "MSG.GET")),
    *(f"$JS.API.CONSUMER.{verb}.{stream}.*" for stream in _BOT_STREAMS for verb in ("DURABLE.CREATE", "INFO")),
)


def _worker_subjects(models: tuple[str, ...]) -> tuple[str, ...]:
    """Its own queue in, its own results out, and what it does."""
    consumers = (names.windows_consumer(model, class_) for model in models for class_ in names.CLASSES)
    return (
        *(names.worker_subject(model, "*") for model in models),
        *(subject for consumer in consumers for subject in pulling(names.WINDOWS_STREAM, consumer)),
        *(subject for model in models for subject in writing(names.token(model))),
    )


def writing(queue: str) -> tuple[str, ...]:
    """What a queue's workers write, and what they read of it again. queue: a model's token; `*` for every queue.

    Where a permission has `*`, a worker may ask for `*`, and JetStream answers with the last message that matches: so
    nothing but the queue's token keeps it from what others wrote.
    """
    written = {kind: names.queue_written_filter(queue, kind) for kind in names.WORKER_KINDS}
    read = (written["window"], written["attempt"])
    return (*written.values(), *(f"$JS.API.DIRECT.GET.{names.JOURNAL_STREAM}.{subject}" for subject in read))


ANY_QUEUE = (names.WORKER_SUBJECTS, *pulling(names.WINDOWS_STREAM, "*"), *writing("*"))
"""What the workers of all queues publish."""
