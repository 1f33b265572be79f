"""The bridge: a Reconstruction becomes datablocks."""
