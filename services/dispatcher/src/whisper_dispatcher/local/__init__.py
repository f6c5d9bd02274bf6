"""The whole pipeline on one machine: `whisperfleet up`, `demo` and `doctor`."""
