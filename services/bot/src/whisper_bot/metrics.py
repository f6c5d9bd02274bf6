"""What Prometheus sees of the bot."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

UPDATES = Counter("whisper_bot_updates_stored_total", "Updates on disk, before they are confirmed to Telegram.")
NOTES = Counter("whisper_bot_notes_total", "Recordings done with, by outcome.", ["outcome"])
OPEN_NOTES = Gauge("whisper_bot_open_notes", "Updates being worked on.")
ORPHANS = Counter(
    "whisper_bot_possible_orphans_total", "Status messages that may stand in a chat without anybody's knowing."
)
PAUSES = Counter("whisper_bot_telegram_pauses_total", "429 answers from Telegram.")
TELEGRAM_CALLS = Histogram("whisper_bot_telegram_seconds", "Time of calls to Telegram.", ["method"])
ANSWER_S = Histogram(
    "whisper_bot_answer_seconds",
    "From the update's arrival to the answer's.",
    buckets=(0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200),
)
