"""The gateway, the planner and the worker, and `whisperfleet`, which runs them on one machine."""
