"""How results look: as words and tables for people, as fields for scripts."""
