"""The systemd unit that starts an agent at boot and again whenever it ends."""

from __future__ import annotations

from typing import Final

NAME: Final = "edgeml-agent.service"
# What only the system's manager can do on every kernel: a user's manager needs user namespaces for it, which some
# distributions forbid, and then the agent would not start at all. There the user's own rights are the fence.
_FENCE: Final = """ProtectSystem=strict
ReadWritePaths={folder}
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes
"""


def unit(folder: str, *, root: bool) -> str:
    """Return the unit of the agent in `folder`; run by the system's manager it may write there and nowhere else.

    Args:
        folder: The device's folder, absolute, of letters, digits, dots, hyphens and underscores.
        root: Whether it is for the system's manager; else for the user's.
    """
    network = "Wants=network-online.target\nAfter=network-online.target\n" if root else ""
    return f"""[Unit]
Description=edgeml agent
{network}
[Service]
ExecStart={folder}/agent
Restart=always
RestartSec=5
NoNewPrivileges=yes
LockPersonality=yes
{_FENCE.format(folder=folder) if root else ""}
[Install]
WantedBy={"multi-user.target" if root else "default.target"}
"""
