"""The processes of the cluster, in the foreground; they read WHISPERFLEET_* and log on stderr."""

from __future__ import annotations


def gateway() -> None:
    """Run the HTTP API."""
    from whisper_dispatcher.gateway.process import main

    main()


def planner() -> None:
    """Run the planner: decoding, cutting, watching over jobs."""
    from whisper_dispatcher.planner.process import main

    main()


def worker() -> None:
    """Run a worker and the whisper-servers below it."""
    from whisper_dispatcher.worker.process import main

    main()
