"""What goes wrong with a cluster, told in a sentence."""

from __future__ import annotations


class ClusterError(Exception):
    """The message says what happened, to what, and what to do."""


class CommandFailed(ClusterError):
    pass
