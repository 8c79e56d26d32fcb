"""The id of a mention: the same wherever and whenever the same model finds it in the same post."""

import hashlib
import json


def entity_id(post_id: str, start: int, end: int, entity_type: str, fingerprint: str) -> str:
    """SHA-256, in hexadecimal, of the compact UTF-8 JSON array of the five, which no two sets of five share."""
    values = [post_id, start, end, entity_type, fingerprint]
    return hashlib.sha256(json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
