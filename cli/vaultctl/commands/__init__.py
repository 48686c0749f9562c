"""One module for each command: parse, ask the library, show."""
