"""`python -m edgeml` is `edgeml`."""

from edgeml.cli import main

main()
