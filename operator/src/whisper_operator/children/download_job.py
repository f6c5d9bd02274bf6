"""The Job that puts a model onto its volume."""

from __future__ import annotations

from whisper_operator.children.pod import TMP_VOLUME, fetch_container, pod_basics
from whisper_operator.naming import labels, metadata
from whisper_operator.owner import Owner
from whisper_operator.resources import Manifest
from whisper_operator.settings import OperatorSettings
from whisper_operator.volume import ModelVolume, claim_volume, job_name

ENDLESS = 1_000_000
"""The kubelet's own growing delays (up to 5 min) decide when to try again, until the model is there."""


def download_job(owner: Owner, volume: ModelVolume, settings: OperatorSettings) -> Manifest:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(owner, job_name(owner, volume), component="download"),
        "spec": {
            "backoffLimit": ENDLESS,
            "template": {
                "metadata": {"labels": labels(owner, "download")},
                "spec": pod_basics(owner)
                | {
                    "restartPolicy": "OnFailure",
                    "containers": [fetch_container(volume.file, settings)],
                    "volumes": [claim_volume(volume), TMP_VOLUME],
                },
            },
        },
    }
