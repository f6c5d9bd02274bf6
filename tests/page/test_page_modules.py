"""The page's modules by themselves, in the browser that runs them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from playwright.sync_api import Browser, Page, Route

from whisper_dispatcher.gateway.page_routes import FOLDER, files
from whisper_dispatcher.transcript.languages import NAMES
from whisper_dispatcher.worker.server_log import Stage

SOURCES = "\n".join(path.read_text() for path in FOLDER.glob("*.js") if not path.name.startswith("words_"))
STREAM = 'retry: 1000\n\n: keep-alive\n\nid: 7\nevent: window\ndata: {"a":"ä: ö"}\n\nevent: queue\r\ndata: {"a":\r\ndata: 2}\r\n\r\ndata: 3\n'
EVENTS = [{"id": "7", "name": "window", "data": {"a": "ä: ö"}}, {"id": None, "name": "queue", "data": {"a": 2}}]


def answered(route: Route) -> None:
    name = route.request.url.rpartition("/")[2]
    file = files().get(name)
    # An empty page at /, so that nothing but the module asked for runs.
    route.fulfill(body=file.body if file else "<!doctype html>", content_type=file.media_type if file else "text/html")


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """On the page's address, without a service behind it."""
    with browser.new_context() as context:
        context.route("**/*", answered)
        page = context.new_page()
        page.goto("http://page.test/")
        yield page


def imported(page: Page, module: str, script: str) -> Any:
    """What an expression makes of one of the page's modules, named `it`."""
    return page.evaluate(f"async () => {{ const it = await import('/page/{module}'); return {script}; }}")


@pytest.fixture
def catalogues(page: Page) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = imported(page, "i18n.js", "it.CATALOGUES")
    return found


def test_every_sentence_is_there_in_every_language_with_the_same_values(
    catalogues: dict[str, dict[str, Any]],
) -> None:
    english, russian = catalogues["en"], catalogues["ru"]
    assert english.keys() == russian.keys()
    for key, entry in english.items():
        values = {language: set(re.findall(r"{\w+}", json.dumps(each[key]))) for language, each in catalogues.items()}
        assert values["en"] == values["ru"], key
        assert isinstance(entry, str) == isinstance(russian[key], str), key
        if not isinstance(entry, str):
            assert (set(entry), set(russian[key])) == ({"one", "other"}, {"one", "few", "many", "other"})


def test_every_sentence_that_is_used_is_there_and_none_is_there_for_nothing(
    catalogues: dict[str, dict[str, Any]],
) -> None:
    page = (FOLDER / "index.html").read_text()
    named = set(re.findall(r'data-t="(\w+)"', page)) | set(re.findall(r'\bt\("(\w+)"', SOURCES))
    known = {key for key in catalogues["en"] if not key.startswith(("error.", "doing."))}
    assert named - known == set()
    assert {key for key in known if f'"{key}"' not in SOURCES + page} == set()


def test_every_state_that_a_server_tells_has_its_words(catalogues: dict[str, dict[str, Any]]) -> None:
    told = {*get_args(Stage), "idle", "being tried", "down"}
    assert {key.removeprefix("doing.") for key in catalogues["en"] if key.startswith("doing.")} == told


def test_a_server_is_told_in_words_and_one_of_the_next_version_in_its_own(page: Page) -> None:
    at_rest = {"device": "CPU", "restarts": 0, "job": None, "window": None, "since": None}
    servers = [
        {"doing": "busy", "device": "CUDA0", "restarts": 1, "job": "ab12", "window": 2, "since": 1000.0},
        {"doing": "idle", **at_rest},
        {"doing": "dreaming", **at_rest, "restarts": 3},
    ]
    said = imported(page, "workers.js", f"{json.dumps(servers)}.map((server) => it.serverText(server, 1075))")
    assert said == [
        "Transcribing part 3 of job ab12 for 1:15 · CUDA0 · restarted 1 time",
        "Idle · CPU",
        "dreaming · CPU · restarted 3 times",
    ]


def test_russian_counts_jobs_as_russian_does(page: Page) -> None:
    said = imported(
        page, "i18n.js", "(it.chooseLanguage('ru'), [1, 3, 5, 21].map((count) => it.t('queued', { count })))"
    )
    assert [sentence.split()[-1] for sentence in said] == ["задание", "задания", "заданий", "задание"]


def test_events_are_read_wherever_the_network_cuts_them(page: Page) -> None:
    for cut in range(len(STREAM) + 1):
        pieces = json.dumps([STREAM[:cut], STREAM[cut:]])
        script = f"((parser) => {pieces}.flatMap((piece) => parser.push(piece)))(new it.EventParser())"
        assert imported(page, "sse.js", script) == EVENTS, cut


def test_the_page_offers_the_languages_of_whisper(page: Page) -> None:
    assert imported(page, "languages.js", "it.WHISPER_LANGUAGES") == list(NAMES)


def test_no_more_work_than_allowed_runs_at_once_and_all_of_it_runs(page: Page) -> None:
    script = """(async () => {
      const turns = new it.Turns(2);
      let [now, most] = [0, 0];
      const work = async (n) => {
        most = Math.max(most, (now += 1));
        await it.pause(0.01, new AbortController().signal);
        now -= 1;
        if (n === 1) throw new Error("one fails");
        return n;
      };
      const all = await Promise.allSettled([0, 1, 2, 3, 4].map((n) => turns.run(() => work(n))));
      return [most, all.map(({ value }) => value ?? null)];
    })()"""
    assert imported(page, "turns.js", f"await {script}") == [2, [0, None, 2, 3, 4]]


def test_a_short_note_behind_three_long_ones_has_its_turn_and_they_go_on_after_it(page: Page) -> None:
    page.clock.install()
    page.evaluate("""async () => {
      const { travel } = await import("/page/journey.js");
      const { Job } = await import("/page/job.js");
      window.asked = [];
      const api = {
        async *events(id, lastId, signal) {
          window.asked.push(`${id} ${lastId}`);
          yield { id: "7", name: "planned", data: { total: 2, duration_s: 60 } };
          if (id === "note") return yield { id: "8", name: "completed", data: {} };
          await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
        },
      };
      window.jobs = ["a", "b", "c", "note"].map((id) => Job.ofApi({ id, state: "queued" }));
      for (const job of window.jobs) travel(api, job, {});
    }""")
    page.clock.run_for(10_000)
    assert page.evaluate("window.jobs.map(({ phase }) => phase)") == ["running", "running", "running", "completed"]
    asked = page.evaluate("window.asked")
    assert asked[:4] == ["a 0", "b 0", "c 0", "note 0"]
    assert asked[4] == "a 7" and set(asked[5:]) <= {"b 7", "c 7"}
    page.clock.run_for(60_000)
    assert page.evaluate("window.asked") == asked


def test_a_stream_that_ends_early_leaves_no_window_out_although_the_job_is_done_by_now(page: Page) -> None:
    page.clock.install()
    page.evaluate("""async () => {
      const { travel } = await import("/page/journey.js");
      const { Job } = await import("/page/job.js");
      const window_of = (index) => ({ window: index, done: index + 1, total: 2, segments: [{ start: 0, end: 1, text: `${index}` }] });
      const told = [
        { id: "7", name: "planned", data: { total: 2, duration_s: 60 } },
        { id: "8", name: "window", data: window_of(0) },
        { id: "9", name: "window", data: window_of(1) },
        { id: "10", name: "completed", data: {} },
      ];
      const api = {
        async *events(id, lastId) {
          yield* lastId === "0" ? told.slice(0, 2) : told.filter((event) => Number(event.id) > Number(lastId));
        },
        job: async (id) => ({ id, state: "completed", windows: { done: 2, total: 2 } }),
      };
      window.job = Job.ofApi({ id: "a", state: "queued" });
      travel(api, window.job, {});
    }""")
    page.clock.run_for(10_000)
    assert page.evaluate("[window.job.phase, [...window.job.windows.keys()]]") == ["completed", [0, 1]]


def test_a_job_whose_events_are_over_is_what_the_service_says_it_is(page: Page) -> None:
    page.route("**/v1/jobs/j1/events*", lambda route: route.fulfill(status=204))
    page.route("**/v1/jobs/j1", lambda route: route.fulfill(json={"id": "j1", "state": "cancelled"}))
    page.evaluate("""async () => {
      const { Api } = await import("/page/api.js");
      const { travel } = await import("/page/journey.js");
      const { Job } = await import("/page/job.js");
      window.job = Job.ofApi({ id: "j1", state: "running" });
      await travel(new Api("key", () => {}), window.job, {});
    }""")
    assert page.evaluate("window.job.phase") == "cancelled"


def test_a_job_that_was_only_cancelled_is_deleted_again_until_it_is_erased(page: Page) -> None:
    answers = [200, 200, 204]
    page.route("**/v1/jobs/j1", lambda route: route.fulfill(status=answers.pop(0), body=""))
    imported(page, "api.js", "await new it.Api('key', () => {}).erase('j1')")
    assert answers == []


def test_the_plot_goes_from_the_first_sample_to_the_last_and_as_high_as_the_deepest(page: Page) -> None:
    history = [{"at": 100, "windows": 0}, {"at": 110, "windows": 4}, {"at": 120, "windows": 2}]
    assert imported(page, "fleet.js", f"it.points({history}, 4)") == "0.0,120.0 300.0,0.0 600.0,60.0"
    assert imported(page, "fleet.js", f"it.points({history[:1]}, 0)") == "0.0,120.0"
    assert imported(page, "fleet.js", "it.points([], -Infinity)") == ""
