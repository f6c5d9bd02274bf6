"""The gateway, the planner and the worker, and `whisperfleet`, which runs them on one machine."""

__version__ = "0.1.0"
