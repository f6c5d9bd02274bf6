from __future__ import annotations

from whisper_dispatcher.loopback import free_port


def test_no_port_is_drawn_again_while_others_are_free() -> None:
    assert len({free_port() for _ in range(500)}) == 500
