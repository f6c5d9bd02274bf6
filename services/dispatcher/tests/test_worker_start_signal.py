"""A worker that is told to end while it still starts."""

import subprocess
import sys

SLOW_START = """
import runpy, sys, time, types

class Loading(types.ModuleType):
    def __getattr__(self, name):
        if name != "main":
            raise AttributeError(name)
        print("loading", flush=True)
        time.sleep(60)

sys.modules["whisper_dispatcher.worker.process"] = Loading("process")
runpy.run_module("whisper_dispatcher.worker", run_name="__main__")
"""


def test_a_worker_that_still_loads_its_modules_heeds_the_signal_itself():
    with subprocess.Popen([sys.executable, "-c", SLOW_START], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "loading\n"
        process.terminate()
        # Minus SIGTERM would be the kernel's doing, which a pod's first process does not see.
        assert process.wait(20) == 0
