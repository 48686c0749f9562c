"""What stands between a backend and its users, with the same five methods.

Around a server, from the outside in: `retrying.Retrying`, then `throttled.Throttled`, then the
backend. `counting.Counting` may stand anywhere; `faulty.Faulty` is for tests of everything above.
"""
