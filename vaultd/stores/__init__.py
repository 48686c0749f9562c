"""Kinds of customer data: each knows how to capture and restore its own."""
