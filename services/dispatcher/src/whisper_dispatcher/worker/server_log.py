"""What whisper-server's stderr and exit code say."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Stage = Literal["starting", "reading the model", "preparing the device"]


@dataclass(frozen=True, slots=True)
class Backend:
    device: str = "CPU"
    """As ggml names it: CPU, CUDA0, Vulkan0, ROCm0, Metal …; OpenVINO where that computes the encoder."""
    gpu_wanted: bool = False

    @property
    def name(self) -> str:
        return self.device.rstrip("0123456789").lower()

    @property
    def accelerated(self) -> bool:
        return self.name != "cpu"

    @property
    def fell_back(self) -> bool:
        """A GPU was asked for and the CPU computes: many times slower."""
        return self.gpu_wanted and not self.accelerated

    def told(self) -> dict[str, str | bool]:
        """For a log line."""
        return {"backend": self.name, "device": self.device, "fell_back": self.fell_back}


def parse_backend(lines: Iterable[str]) -> Backend:
    device, gpu_wanted, openvino_device = "CPU", False, "CPU"
    for line in lines:
        if wanted := re.search(r"use gpu\s*= (\d)", line):
            gpu_wanted = wanted[1] == "1"
        # Only this function speaks of GPUs; `whisper_backend_init: using BLAS backend` is still the CPU.
        elif used := re.search(r"whisper_backend_init_gpu: using (\S+) backend", line):
            device = used[1]
        elif f"failed to initialize {device} backend" in line:
            device = "CPU"
        elif asked := re.search(r"whisper_openvino_init: .*device = (\w+)", line):
            openvino_device = asked[1]
        elif "OpenVINO model loaded" in line and openvino_device != "CPU":
            device = "OpenVINO"
    return Backend(device, gpu_wanted)


def parse_stage(lines: Iterable[str]) -> Stage:
    stage: Stage = "starting"
    for line in lines:
        if "whisper_model_load: loading model" in line:
            stage = "reading the model"
        elif "whisper_backend_init" in line:
            stage = "preparing the device"
    return stage


def describe_exit(code: int, lines: Sequence[str]) -> str:
    """Every exit is a failure: whisper-server leaves with 0 when it refuses its arguments."""
    if code == 0:
        what = "whisper-server refused its arguments (exit code 0)"
    elif code < 0:
        what = f"whisper-server was killed by {signal.Signals(-code).name}"
    else:
        what = f"whisper-server exited with code {code}"
    return f"{what}: {complaint(lines) or 'it said nothing on stderr'}"


def complaint(lines: Sequence[str]) -> str:
    """The lines that say what is wrong; the usage text that follows a bad argument hides them."""
    errors = [line for line in lines if re.search(r"\b(error|failed|abort|assert)", line, re.IGNORECASE)]
    spoken = [line for line in lines if line.strip()]
    return " | ".join(line.strip() for line in (errors or spoken)[-5:])
