"""Which WhisperServers serve which queue."""

from whisper_server_objects import body, server

from whisper_operator.queue_use import QueueUses, queue_use
from whisper_operator.server import parse_server

OLD, NEW = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"


def seen(uses, name, spec=None, created=OLD):
    key = ("speech", name)
    return key, uses.see(key, queue_use(server(spec, name=name, creationTimestamp=created)))


def test_a_server_serves_its_models_queue_under_all_its_names():
    uses = QueueUses()
    seen(uses, "a", {"queue": {"aliases": ["whisper-1"], "default": True}})
    (record,) = uses.records("me").values()
    assert (record.name, record.aliases, record.default, record.owner) == ("demo.en", ("whisper-1",), True, "me")
    assert record.languages == ("en",)


def test_two_servers_of_one_model_share_a_queue():
    uses = QueueUses()
    seen(uses, "a", {"queue": {"aliases": ["x"]}})
    key, others = seen(uses, "b", {"queue": {"aliases": ["y"]}}, created=NEW)
    assert uses.refusal(key) is None
    assert others == set(), "the queue is still the first one's: nobody has to look again"
    assert uses.records("me")["demo.en"].aliases == ("x", "y")


def test_another_model_on_a_queue_is_refused_with_the_name_of_the_one_that_has_it():
    uses = QueueUses()
    second, _ = seen(uses, "b", {"model": {"name": "tiny.en"}, "queue": {"name": "demo.en", "aliases": ["z"]}}, NEW)
    assert uses.refusal(second) is None
    first, others = seen(uses, "a")
    assert others == {second}
    assert uses.refusal(first) is None
    sentence = uses.refusal(second)
    assert sentence is not None and "speech/a" in sentence and "spec.queue.name" in sentence
    assert uses.records("me")["demo.en"].aliases == ()


def test_files_of_one_name_on_claims_of_two_namespaces_are_two_models():
    spec = {"model": {"claim": {"name": "models", "path": "a.bin"}}, "queue": {"name": "own"}}
    uses = QueueUses()
    uses.see(("speech", "a"), queue_use(parse_server(body(spec, creationTimestamp=OLD))))
    uses.see(("other", "a"), queue_use(parse_server(body(spec, namespace="other", creationTimestamp=NEW))))
    assert "speech/a" in str(uses.refusal(("other", "a")))


def test_the_next_server_takes_over_a_queue_that_is_given_up():
    uses = QueueUses()
    first, _ = seen(uses, "a")
    second, _ = seen(uses, "b", {"model": {"name": "tiny.en"}, "queue": {"name": "demo.en"}}, NEW)
    assert uses.forget(first) == {second}
    assert uses.refusal(second) is None
    assert uses.forget(second) == set()
    assert uses.records("me") == {}


def test_a_queue_goes_to_the_oldest_of_those_that_are_left():
    uses = QueueUses()
    first, _ = seen(uses, "a")
    latest, _ = seen(uses, "c", created="2026-03-01T00:00:00Z")
    second, _ = seen(uses, "b", {"model": {"name": "tiny.en"}, "queue": {"name": "demo.en"}}, NEW)
    assert uses.forget(first) == {second, latest}
    assert uses.refusal(second) is None
    assert "speech/b" in str(uses.refusal(latest))


def test_what_has_not_changed_is_no_news():
    uses = QueueUses()
    seen(uses, "a")
    assert seen(uses, "a")[1] is None


def test_a_server_that_moves_to_another_queue_leaves_its_old_one():
    uses = QueueUses()
    seen(uses, "a")
    other, _ = seen(uses, "b", created=NEW)
    _, others = seen(uses, "a", {"queue": {"name": "mine"}})
    assert others == {other}
    assert set(uses.records("me")) == {"demo.en", "mine"}
