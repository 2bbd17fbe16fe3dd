"""Sessions in the database, which keeps only their hashes: whoever reads a table or a backup cannot go on as somebody."""

from collections.abc import Iterable
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from gateway_project.crypto import keyed_hash


def stored_key(session_key: str) -> str:
    """The key of the row that keeps this session."""
    return keyed_hash(f"session\0{session_key}")[:40]  # 160 bits: what the column takes


def end_stored(keys: Iterable[str]) -> None:
    """Ends the sessions with these stored keys, wherever they are used."""
    Session.objects.filter(session_key__in=list(keys)).delete()


class SessionStore(DatabaseStore):
    """Django's, with the hash in place of the key wherever the table is asked or written."""

    def _get_session_from_db(self) -> Any:
        key = self.session_key
        rows = Session.objects.filter(expire_date__gt=timezone.now())
        found = rows.filter(session_key=stored_key(key)).first() if key else None
        if found is None:
            self._session_key = None
        return found

    def exists(self, session_key: str) -> bool:
        return Session.objects.filter(session_key=stored_key(session_key)).exists()

    def create_model_instance(self, data: Any) -> Any:
        row = super().create_model_instance(data)
        row.session_key = stored_key(row.session_key)
        return row

    def delete(self, session_key: str | None = None) -> None:
        if key := session_key or self.session_key:
            end_stored([stored_key(key)])

    async def _aget_session_from_db(self) -> Any:
        return await sync_to_async(self._get_session_from_db)()

    async def aexists(self, session_key: str) -> bool:
        return await sync_to_async(self.exists)(session_key)

    async def acreate_model_instance(self, data: Any) -> Any:
        return await sync_to_async(self.create_model_instance)(data)

    async def adelete(self, session_key: str | None = None) -> None:
        await sync_to_async(self.delete)(session_key)
