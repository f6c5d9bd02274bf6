"""When a call may go. Time is a number here."""

from __future__ import annotations

from whisper_bot.pacing import ALL, GROUP, PRIVATE, Pacing


def test_a_chat_gets_its_burst_and_then_its_interval() -> None:
    for chat, pace in ((1, PRIVATE), (-1, GROUP)):
        pacing = Pacing()
        for _ in range(pace.burst):
            assert pacing.wait_s(chat, 100.0) == 0
            pacing.went(chat, 100.0)
        assert pacing.wait_s(chat, 100.0) == pace.interval_s
        assert pacing.wait_s(chat, 100.0 + pace.interval_s) == 0


def test_all_chats_together_have_a_pace_too() -> None:
    pacing = Pacing()
    for chat in range(1, ALL.burst + 1):
        assert pacing.wait_s(chat, 100.0) == 0
        pacing.went(chat, 100.0)
    assert pacing.wait_s(999, 100.0) > 0
    assert pacing.wait_s(999, 101.0) == 0


def test_a_pause_holds_for_its_chat_to_the_second() -> None:
    pacing = Pacing()
    pacing.refused(1, 30, 100.0)
    assert pacing.wait_s(1, 129.0) == 1.0
    assert pacing.wait_s(1, 130.0) == 0
    assert pacing.wait_s(2, 100.0) == 0


def test_two_paused_chats_are_a_pause_for_all() -> None:
    pacing = Pacing()
    pacing.refused(1, 30, 100.0)
    pacing.refused(2, 10, 101.0)
    assert pacing.wait_s(3, 101.0) == 10.0
    assert pacing.wait_s(3, 111.0) == 0


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    pacing = Pacing()
    pacing.refused(1, 30, 100.0)
    pacing.refused(1, 1, 101.0)
    assert pacing.wait_s(1, 102.0) == 28.0


def test_chats_that_are_due_again_are_forgotten() -> None:
    pacing = Pacing()
    for chat in range(1, 10_002):
        pacing.went(chat, float(chat))
    assert len(pacing._chats_due) < 100
