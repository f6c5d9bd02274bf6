"""Three hundred recordings while bot, gateway and NATS are killed: every one answered, none twice.

    python services/bot/tests/chaos_bot.py --out build/chaos-bot.json

The pipeline is real, as `whisperfleet up --bot` runs it; for speed a stand-in answers for whisper-server.
Telegram is a stand-in too: it cuts connections, fails, asks for pauses, and carries out some of what it fails.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot_harness import TOKEN, Fleet, children, is_status
from fake_chats import Shown
from fake_telegram import FakeTelegram, Fault

from whisper_bot.answers import split
from whisper_dispatcher.worker import stub_server
from whisper_models.bundled import sample_path

WORDS = "hello world one two three"
LONG_WORDS = " ".join([WORDS] * 400)
LONG_FROM_S = 6.0
CHATS = 30
CHATS_WITH_PARTS = 3
LONG_EVERY = 5
KILL_EVERY_S = 9.0
VICTIMS = ("whisper_bot", "gateway", "nats-server")
ANSWERED_LIMIT_S = 420.0


def stub_whisper_server(folder: Path) -> Path:
    return stub_server.write_program(folder, "--delay-ms", "20", "--long-from-s", str(LONG_FROM_S))


def some_faults(chance: random.Random) -> Any:
    """One call in fifteen goes wrong, in one of the ways that Telegram's do."""

    def decide(method: str, _: dict[str, Any]) -> Fault | None:
        if method in ("getMe", "deleteWebhook", "setMyCommands") or chance.random() > 1 / 15:
            return None
        applied = chance.random() < 0.5
        return chance.choice(
            [
                Fault(0, applied=applied),
                Fault(500, applied=applied),
                Fault(429, retry_after_s=chance.choice([1, 2, 3])),
                Fault(200, delay_s=1.0, applied=False),
            ]
        )

    return decide


@dataclass
class Chaos:
    fleet: Fleet
    telegram: FakeTelegram
    messages: int
    chance: random.Random
    sent: dict[tuple[int, int], str] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)

    def run(self) -> None:
        """All recordings, a kill every few seconds, and at the end the wait for the last answer."""
        for chat in range(1, CHATS_WITH_PARTS + 1):
            self.telegram.say(chat, text="/format messages")
        short, long = (sample_path(name).read_bytes() for name in ("hello.wav", "message.mp3"))
        pause_s = 0.35
        next_kill = time.monotonic() + KILL_EVERY_S
        for number in range(self.messages):
            is_long = number % LONG_EVERY == 0
            chat = 1 + number % CHATS if not is_long else 1 + (number // LONG_EVERY) % CHATS
            message = self.telegram.say(chat, **self.telegram.voice(long if is_long else short))
            self.sent[chat, message] = LONG_WORDS if is_long else WORDS
            time.sleep(pause_s)
            if time.monotonic() > next_kill:
                self._kill()
                next_kill = time.monotonic() + KILL_EVERY_S
        self._wait()

    def _kill(self) -> None:
        victim = VICTIMS[sum(self.kills.values()) % len(VICTIMS)]
        assert self.fleet.process
        if victim in children(self.fleet.process.pid):  # else it is being started again
            self.fleet.kill_child(victim)
            self.kills[victim] += 1
            say(f"{len(self.sent)} sent, {len(self.sent) - len(self.unanswered())} answered; killed {victim}")

    def _wait(self) -> None:
        deadline = time.monotonic() + ANSWERED_LIMIT_S
        while (left := self.unanswered()) and time.monotonic() < deadline:
            say(f"{len(left)} of {len(self.sent)} are not answered yet")
            time.sleep(3)
        time.sleep(5)  # for an answer that would come twice

    def unanswered(self) -> list[tuple[int, int]]:
        return [key for key, words in self.sent.items() if not self._answers(key, words)]

    def doubled(self) -> list[tuple[int, int]]:
        return [key for key, words in self.sent.items() if len(self._answers(key, words)) > 1]

    def _answers(self, key: tuple[int, int], words: str) -> list[Shown]:
        """Messages that hold this recording's words, or their first part."""
        expected = {words, words + "\n", split(words)[0]}
        replies = self.telegram.replies_to(*key)
        complete = [shown for shown in replies if shown.words in expected]
        return [shown for shown in complete if shown.words.strip() == words or self._has_parts(shown, words)]

    def _has_parts(self, first: Shown, words: str) -> bool:
        further = [
            shown.text for shown in self.telegram.replies_to(first.chat, first.message_id) if not is_status(shown)
        ]
        return further == split(words)[1:]

    def report(self, took_s: float) -> dict[str, Any]:
        orphans = [shown for shown in list(self.telegram.messages.values()) if shown.by_bot and is_status(shown)]
        replies = sum(len(self.fleet.final_replies(*key)) for key in self.sent)
        return {
            "messages": len(self.sent),
            "long": sum(1 for words in self.sent.values() if words == LONG_WORDS),
            "unanswered": len(self.unanswered()),
            "doubled": len(self.doubled()),
            "other_replies": replies - (len(self.sent) - len(self.unanswered())) - len(self.doubled()),
            "orphaned_status_messages": len(orphans),
            "kills": dict(self.kills),
            "faults": self.telegram.faults,
            "calls_during_a_pause": len(self.telegram.too_early),
            "token_written": TOKEN.encode() in self.fleet.everything_written(),
            "seconds": round(took_s, 1),
        }


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/chaos-bot.json"))
    parser.add_argument("--messages", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    telegram = FakeTelegram(TOKEN)
    telegram.start_in_thread()
    try:
        with tempfile.TemporaryDirectory(prefix="whisperfleet-chaos-") as name:
            report = measure(Path(name), telegram, options)
    finally:
        telegram.stop_in_thread()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2) + "\n")
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    is_good = not (report["unanswered"] or report["doubled"] or report["other_replies"] or report["token_written"])
    sys.exit(0 if is_good else 1)


def measure(folder: Path, telegram: FakeTelegram, options: argparse.Namespace) -> dict[str, Any]:
    chance = random.Random(options.seed)
    fleet = Fleet(folder, telegram, stub_whisper_server(folder))
    try:
        fleet.start()
        telegram.decide_fault = some_faults(chance)
        chaos = Chaos(fleet, telegram, options.messages, chance)
        started = time.monotonic()
        chaos.run()
        report = chaos.report(time.monotonic() - started)
        for key in chaos.unanswered():
            say(f"unanswered: {key} {[shown.text[:60] for shown in telegram.replies_to(*key)]}")
        if report["unanswered"] or report["other_replies"]:
            say(fleet.log()[-20_000:])
        return report
    finally:
        fleet.kill()


if __name__ == "__main__":
    main()
