"""The model catalogue, the verified downloader and the bundled demo model."""
