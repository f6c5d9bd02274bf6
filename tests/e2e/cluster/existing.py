"""Provider `context`: a cluster that somebody else made, used only when it is named."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from . import paths
from .cluster import program
from .commands import Argument, run
from .errors import ClusterError, CommandFailed


class ContextProvider:
    name = "context"

    def __init__(self, context: str) -> None:
        self.context = context

    def up(self, console: Console) -> None:
        """Copies the one context, so that nothing done here can reach another."""
        view = ["config", "view", "--raw", "--minify", "--flatten", "--context", self.context]
        try:
            text = run([program("kubectl"), *view], limit_s=20)
        except CommandFailed as error:
            where = os.environ.get("KUBECONFIG", "~/.kube/config")
            raise ClusterError(f"The context {self.context} cannot be read from {where}: {error}") from error
        paths.KUBECONFIG.touch(mode=0o600)
        paths.KUBECONFIG.write_text(text, "utf-8")
        console.print(f"Using {self.context}, which was not made here and is never taken down", highlight=False)

    def down(self) -> None:
        """Somebody else's cluster stays; only the copy of its context goes."""

    def load_image(self, archive: Path) -> None:
        raise ClusterError(
            f"{archive.name} cannot be put into {self.context}, which was not made here. "
            "Push the images to a registry that it pulls from."
        )

    def inside(self, *command: Argument) -> list[Argument]:
        raise ClusterError(
            f"Nothing can be run on the nodes of {self.context}, which was not made here. Use the provider kind or node."
        )

    def logs(self) -> dict[str, Path]:
        return {}
