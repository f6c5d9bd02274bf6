"""The benchmark: every figure side by side in one run. `python -m bench`, or `python -m bench NAME…`."""
