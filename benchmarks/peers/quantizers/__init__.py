"""Quantizers: ours and its peers, a file each, called the way their own documentation calls them. The folder is the list.

A file is imported by the host for its constants, and by `quantize_once.py` in the peer's own environment for its work:
heavy imports stand in its functions, and of ours it knows nothing.

TITLE        for people
VENV         its list in `requirements/`, or nothing for ours
PACKAGE      the distribution whose version is told
RUNTIME      which runtime its artifact is meant for
SUFFIX       the end of its artifact's name
CALL         the call, in words
quantize     (Asked) -> None: writes the artifact
"""
