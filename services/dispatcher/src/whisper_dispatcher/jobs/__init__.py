"""Jobs as every process sees them: the journal's projection, and the few ways a job may change."""
