"""The HTTP API: takes audio in, writes the journal, and answers from it. Decodes nothing, transcribes nothing."""
