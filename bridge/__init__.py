"""Bridge: runs the backend and writes Reconstructions as datablocks."""
