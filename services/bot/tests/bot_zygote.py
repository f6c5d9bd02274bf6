"""Starts bots quickly: everything is imported once, and each bot is a fork. One line on stdin, one pid on stdout."""

from __future__ import annotations

import os
import sys

from whisper_bot.process import main

for _line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        main()
        os._exit(0)
    sys.stdout.write(f"{pid}\n")
    sys.stdout.flush()
    os.waitpid(pid, 0)
