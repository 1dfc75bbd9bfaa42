"""What a record of the trail says, as people read it. Page and command line tell it alike."""

from __future__ import annotations

import json

from adapter.store import AuditRecord


def changes(record: AuditRecord) -> list[str]:
    """What a record's two JSON objects say, a line each: what differs where there are both, all there is of one."""
    was, now = (json.loads(text) if text else {} for text in (record.old, record.new))
    lines = []
    for name in dict.fromkeys((*was, *now)):
        before, after = was.get(name), now.get(name)
        if before == after or (_is_nothing(before) and _is_nothing(after)):
            continue
        told = (before, after) if was and now else (after if now else before,)
        said = [json.dumps(value, ensure_ascii=False) for value in told]
        lines.append(f"{name}: {' -> '.join(said)}")
    return lines


def _is_nothing(value: object) -> bool:
    return value is None or value == "" or value == []
