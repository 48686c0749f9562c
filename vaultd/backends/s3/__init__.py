"""A backend in a bucket of S3-compatible storage; the owner of boto3.

`vaultd.backends.s3.options` loads nothing heavy, so that settings may hold its values; only
`vaultd.backends.s3.backend` imports boto3.
"""
