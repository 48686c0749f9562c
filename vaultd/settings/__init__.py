"""What was asked for: gathered by `asked`, from the `file`; `secrets` are read when needed."""
