"""Ours measured beside its peers: every one quantizes the same networks on the same samples. `make bench-peers` runs it."""
