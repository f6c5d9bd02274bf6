"""Where things lie: the checkout, what a run leaves in build/, and what the user's cache keeps between runs."""

from __future__ import annotations

from pathlib import Path

from whisper_models.cache import cache_folder

CHECKOUT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
GO_MODULES = HERE / "go"
NODE_FILES = HERE / "node_files"
KIND_CONFIG = HERE.parent / "kind.yaml"

CLUSTER = CHECKOUT / "build" / "cluster"
KUBECONFIG = CLUSTER / "kubeconfig"
RECORD = CLUSTER / "cluster.json"
NODE = CLUSTER / "node"
PROGRAM_LINKS = CLUSTER / "bin"
COLLECTED = CHECKOUT / "build" / "collected"


def programs_folder() -> Path:
    return cache_folder() / "kubernetes"


def go_folder() -> Path:
    return cache_folder() / "go"


def images_folder() -> Path:
    return cache_folder() / "images"
