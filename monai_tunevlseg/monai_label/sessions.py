"""MONAI Label's sessions with checked ids."""

from __future__ import annotations

import re

from monailabel.utils.sessions import SessionInfo, Sessions

__all__ = ["UUIDSessions"]

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class UUIDSessions(Sessions):
    """Sessions with UUIDs as ids; MONAI Label would take any path."""

    def get_session(self, session_id: str, update_ts: bool = True, fetch_cache: bool = True) -> SessionInfo | None:
        """Return a session; None if its id is unknown."""
        return super().get_session(session_id, update_ts, fetch_cache) if UUID.fullmatch(session_id) else None

    def remove_session(self, session_id: str) -> None:
        """Remove a session, if its id is known."""
        if UUID.fullmatch(session_id):
            super().remove_session(session_id)
