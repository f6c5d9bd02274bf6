"""Decodes accepted audio, cuts it into windows and ends jobs."""
