from __future__ import annotations

import pytest

from whisper_dispatcher.transcript.languages import ALIASES, NAMES, is_spaceless, to_code


def test_there_are_whispers_hundred_languages() -> None:
    assert len(NAMES) == 100
    assert len(set(NAMES.values())) == 100


def test_every_alias_leads_to_a_language_and_hides_none() -> None:
    assert set(ALIASES.values()) <= set(NAMES)
    assert not set(ALIASES) & (set(NAMES) | set(NAMES.values()))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("en", "en"),
        ("EN", "en"),
        (" English ", "en"),
        ("haitian creole", "ht"),
        ("haw", "haw"),
        ("Cantonese", "yue"),
        ("javanese", "jw"),
        ("jv", "jw"),
        ("nb", "no"),
        ("klingon", None),
        ("auto", None),
        ("", None),
    ],
)
def test_a_language_is_given_as_code_or_english_name(text: str, code: str | None) -> None:
    assert to_code(text) == code


@pytest.mark.parametrize(("char", "spaceless"), [("a", False), ("я", False), ("한", False), ("你", True), ("ก", True)])
def test_only_some_scripts_have_no_spaces(char: str, spaceless: bool) -> None:
    assert is_spaceless(char) is spaceless
