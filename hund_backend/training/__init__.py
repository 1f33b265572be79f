"""Training recipes and the data that they use; not part of the extension's zip."""
