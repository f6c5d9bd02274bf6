import signal
import sys

# A pod's first process never gets a signal that it has no handler for: a pod deleted while this one still loads its
# modules would go on pulling work until it is killed. Nothing runs yet, so it may end at once.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

from whisper_dispatcher.worker.process import main  # noqa: E402

main()
