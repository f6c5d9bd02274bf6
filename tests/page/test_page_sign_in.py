"""Signing in to the web page and out of it."""

from __future__ import annotations

import re

import pytest
from page_harness import Open, state
from playwright.sync_api import Route, expect
from up_harness import Up, until


def test_the_key_is_kept_by_the_tab_alone(visit: Open) -> None:
    tab = visit()
    tab.page.reload()
    expect(tab.page.locator("#workspace")).to_be_visible()
    other = tab.page.context.new_page()
    other.goto(tab.url)
    expect(other.locator("#sign-in")).to_be_visible()
    expect(other.locator("#key")).to_be_focused()
    tab.page.get_by_role("button", name="Sign out").click()
    tab.page.reload()
    expect(tab.page.locator("#sign-in")).to_be_visible()


@pytest.mark.parametrize("key", ["wrong", "неверный"])
def test_a_wrong_key_is_refused_in_words(visit: Open, key: str) -> None:
    tab = visit(is_signed_in=False)
    tab.draw("sign-in")
    tab.sign_in(key)
    expect(tab.page.get_by_role("alert").first).to_have_text("The API key is wrong or was revoked.")
    expect(tab.page.locator("#workspace")).to_be_hidden()
    tab.draw("wrong-key")


def test_nothing_of_who_signs_out_on_a_slow_line_is_shown_to_who_signs_in(visit: Open, up: Up) -> None:
    tab = visit()
    expect(state(tab.send_sample("note.flac", "private.flac"))).to_have_text("Done")
    tab.page.reload()
    tab.page.locator("#fleet").wait_for()
    slow: dict[str, Route] = {}
    tab.page.route(re.compile(r"/v1/(jobs\?|fleet)"), lambda route: slow.update({kind_of(route): route}))
    tab.page.reload()
    tab.page.locator("#workspace").wait_for()
    # What the tab does is heard of only while something is asked of it.
    until(lambda: bool(tab.page.title()) and len(slow) == 2, 30)
    answers = {kind: route.fetch() for kind, route in slow.items()}
    tab.page.get_by_role("button", name="Sign out").click()
    # Both are answered before anything of the next one is.
    for kind, route in slow.items():
        route.fulfill(response=answers[kind])
    tab.page.unroute_all()
    tab.sign_in(up.command("clients", "create", "next").stdout.strip())
    expect(tab.page.get_by_text("Nothing here yet.").first).to_be_visible()
    expect(tab.page.locator("#jobs > li")).to_have_count(0)
    expect(tab.page.locator("#fleet")).to_be_hidden()
    assert tab.complaints == []


def kind_of(route: Route) -> str:
    return route.request.url.partition("?")[0].rpartition("/")[2]
