"""Figures of the operator, each beside its goal: `python -m bench.operator`."""
