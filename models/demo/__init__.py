"""How the demo model is made: speech from espeak-ng, a small Whisper trained on it, a file that whisper.cpp loads.

`make demo-model` runs `python -m models.demo`; MODEL_CARD.md says what came out.
"""
