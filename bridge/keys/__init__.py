"""Keys that animators edit: fewer of them, smoother, mirrored, trimmed, looped."""
