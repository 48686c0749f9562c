"""What is done to a vault as a whole: checking, forgetting, adding up, examining."""
