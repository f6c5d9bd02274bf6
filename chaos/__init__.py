"""Kills, restarts and a full disk while jobs run; then everything accepted is counted. `python -m chaos` writes build/chaos.json."""
