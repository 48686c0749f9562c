"""The vault format, pure: bytes to values and back, no keys, no I/O.

FORMAT.md beside it is normative.
"""
