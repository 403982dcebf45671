# SPDX-License-Identifier: Apache-2.0
"""Masks: ids of others as keyed hashes, the caller's own as they are."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Prefix of a hash, so that nobody takes it for an id.
MARK = 'h:'

#: Bytes of a hash: 2^48 ids before two are likely to share one.
_HASH_SIZE = 12


@dataclass(frozen=True, slots=True)
class Mask:
    """What the records of one caller show.

    :ivar key: of the hashes; None shows everything
    :ivar own: the caller's own ids, shown as they are
    """

    key: bytes | None = field(repr=False)
    own: frozenset[str] = frozenset()

    def hide(self, text: str | None) -> str | None:
        """The id, or its hash unless it is the caller's own."""
        if text is None or self.key is None or text in self.own:
            return text
        # Client text may hold lone surrogates.
        raw = text.encode('utf-8', 'surrogatepass')
        hashed = hashlib.blake2b(raw, key=self.key, digest_size=_HASH_SIZE)
        return MARK + hashed.hexdigest()

    def mask_consumer(self, uuid: str, project_id: str | None) -> str | None:
        """A consumer's id: as it is when it belongs to the caller's project."""
        if project_id is not None and project_id in self.own:
            return uuid
        return self.hide(uuid)


def make_key(secret: str | None) -> bytes:
    """The key of the hashes.

    :param secret: configured; without one the key is random, shared with
        children of this process only, and hashes compare within a run
    """
    if not secret:
        return secrets.token_bytes(32)
    return hashlib.blake2b(secret.encode(), digest_size=32).digest()


def make_mask(credentials: Mapping[str, Any], key: bytes | None) -> Mask:
    """The mask for a caller; missing and empty ids are nobody's own."""
    ids = (credentials.get('user_id'), credentials.get('project_id'))
    return Mask(key, frozenset([text for text in ids if text]))
