"""Build: betas of a person, estimated from the outlines in pictures."""
