"""Pure decisions, each with its reason in words."""
