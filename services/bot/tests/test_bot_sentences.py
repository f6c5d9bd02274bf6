"""The catalogue: complete, and within Telegram's limits."""

from __future__ import annotations

import ast
from pathlib import Path
from string import Formatter

import pytest

import whisper_bot
from whisper_bot.sentences import CATALOGUE, LANGUAGES, MENU, failure_sentence, language_for, menu, sentence
from whisper_contracts.failures import FailureReason

SOURCES = [path for path in Path(whisper_bot.__file__).parent.glob("*.py") if path.name != "sentences.py"]
SAYING = ("Say", "sentence", "tell")
BY_COMMAND = {"start", "help", "privacy"}
"""Said by the command's own name."""
GROUPS = ("failed_", "menu_")
"""Found by a name that is put together: of a failure, of a command."""


def said(source: str) -> set[str]:
    """Keys in the first argument of whatever says something, both branches of a condition too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and node.args and name_of(node.func) in SAYING:
            branches = node.args[0]
            wanted = [branches.body, branches.orelse] if isinstance(branches, ast.IfExp) else [branches]
            found |= {each.value for each in wanted if isinstance(each, ast.Constant)}
    return found


def name_of(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


USED = set().union(*(said(path.read_text()) for path in SOURCES)) | BY_COMMAND


@pytest.mark.parametrize("key", CATALOGUE)
def test_every_sentence_exists_in_every_language_with_the_same_values(key: str) -> None:
    assert set(CATALOGUE[key]) == set(LANGUAGES)
    fields = {frozenset(name for _, name, _, _ in Formatter().parse(text) if name) for text in CATALOGUE[key].values()}
    assert len(fields) == 1
    assert all(text.strip() for text in CATALOGUE[key].values())


@pytest.mark.parametrize("key", sorted(USED))
def test_every_sentence_that_the_code_says_exists(key: str) -> None:
    assert key in CATALOGUE


def test_every_sentence_of_the_catalogue_is_said_somewhere() -> None:
    """So the search for them in the code misses none."""
    assert {key for key in CATALOGUE if not key.startswith(GROUPS)} == USED - {"failed_refused"}
    assert {key for key in CATALOGUE if key.startswith("failed_")} == {
        "failed_refused",
        *(f"failed_{reason}" for reason in FailureReason),
    }


@pytest.mark.parametrize("reason", FailureReason)
def test_every_failure_of_a_job_has_a_sentence_of_its_own(reason: FailureReason) -> None:
    for language in LANGUAGES:
        assert failure_sentence(reason, language) == sentence(f"failed_{reason}", language)


def test_a_failure_from_a_newer_service_still_reads() -> None:
    assert failure_sentence("eaten_by_mice", "en") == sentence("failed_internal", "en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_command_of_the_menu_is_explained(language: str) -> None:
    assert set(menu(language)) == set(MENU)
    help_text = sentence("help", language)
    assert all(f"/{command}" in help_text for command in MENU if command != "help")


def test_word_of_the_work_ends_in_three_dots_and_no_answer_does() -> None:
    status = {"received", "part", "queued", "progress", "waiting"}
    for key, texts in CATALOGUE.items():
        assert {text.endswith("…") for text in texts.values()} == {key in status}, key


def test_an_answer_to_a_tap_fits() -> None:
    assert all(
        len(text) <= 200 for key, texts in CATALOGUE.items() if key.startswith("tap_") for text in texts.values()
    )


@pytest.mark.parametrize(("code", "language"), [("ru", "ru"), ("RU-ru", "ru"), ("en", "en"), ("de", "en"), ("", "en")])
def test_the_readers_language_is_chosen_else_english(code: str, language: str) -> None:
    assert language_for(code) == language
