"""Starts bots quickly: everything is imported once, and each bot is a fork.

A line on stdin is a JSON object of further environment variables and the `log`; the pid comes back on stdout.
"""

from __future__ import annotations

import json
import os
import sys

from whisper_bot.process import main

for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        asked = json.loads(line)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(asked.pop("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        os.environ.update(asked)
        main()
        os._exit(0)
    sys.stdout.write(f"{pid}\n")
    sys.stdout.flush()
    os.waitpid(pid, 0)
