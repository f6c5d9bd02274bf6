"""The Job that puts the model onto the server's volume."""

from __future__ import annotations

from whisper_operator.children.pod import TMP_VOLUME, fetch_container, pod_basics
from whisper_operator.naming import labels, metadata
from whisper_operator.server import Manifest, Server
from whisper_operator.settings import OperatorSettings
from whisper_operator.volume import ModelVolume, job_name, pod_volume

ENDLESS = 1_000_000
"""The kubelet's own growing delays (up to 5 min) decide when to try again, until the model is there."""


def download_job(server: Server, volume: ModelVolume, settings: OperatorSettings) -> Manifest:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(server, job_name(server, volume), component="download"),
        "spec": {
            "backoffLimit": ENDLESS,
            "template": {
                "metadata": {"labels": labels(server, "download")},
                "spec": pod_basics(server)
                | {
                    "restartPolicy": "OnFailure",
                    "containers": [fetch_container(volume.file, settings)],
                    "volumes": [pod_volume(server, volume), TMP_VOLUME],
                },
            },
        },
    }
