"""How a command reaches NATS as its administrator."""

from __future__ import annotations

import os

from whisper_dispatcher.local import running
from whisper_dispatcher.settings import PREFIX, ProcessSettings


def admin_settings() -> ProcessSettings:
    """From WHISPERFLEET_NATS_*, else from the `whisperfleet up` that runs here."""
    here = running.find()
    if here is None or PREFIX + "NATS_URL" in os.environ:
        return ProcessSettings.load()
    return ProcessSettings(nats_url=here.nats_url, nats_user="admin", nats_password=here.nats_password)
