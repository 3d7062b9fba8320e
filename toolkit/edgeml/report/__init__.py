"""Reports: a file each writes one standalone HTML page."""
