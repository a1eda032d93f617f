"""Campaigns that measure; each is a make target of its own and no part of `make test`."""
