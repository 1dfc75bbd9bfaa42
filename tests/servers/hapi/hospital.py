"""What a hospital does on its FHIR server: makes, changes and deletes resources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import requests
import simplejson

Resource = dict[str, Any]

_BATCH = 200  # resources in a transaction


class Hospital:
    """What the hospital does on its FHIR server, past any proxy."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.resources: dict[str, Resource] = {}  # by Observation/77, as last written
        self._session = requests.Session()

    def close(self) -> None:
        self._session.close()

    def put(self, resources: Iterable[Resource]) -> list[str]:
        """Make resources, or update those with an id of their own; their references (``Observation/77``) in order."""
        waiting, found = list(resources), list[str]()
        for start in range(0, len(waiting), _BATCH):
            found += self._transaction(waiting[start : start + _BATCH])
        self.resources |= dict(zip(found, waiting, strict=True))
        return found

    def change(self, name: str, **changes: Any) -> None:
        self.put([{**self.resources[name], "id": name.partition("/")[2], **changes}])

    def delete(self, name: str) -> None:
        self._session.delete(f"{self.base_url}/{name}", timeout=120).raise_for_status()

    def _transaction(self, resources: list[Resource]) -> Iterator[str]:
        entries = []
        for each in resources:
            kind, name = each["resourceType"], each.get("id")
            request = {"method": "PUT", "url": f"{kind}/{name}"} if name else {"method": "POST", "url": kind}
            entries.append({"resource": each, "request": request})
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        answer = self._session.post(
            self.base_url,
            data=simplejson.dumps(bundle, use_decimal=True).encode(),
            headers={"Content-Type": "application/fhir+json", "Prefer": "return=minimal"},
            timeout=300,
        )
        assert answer.status_code == 200, answer.text
        for entry in answer.json()["entry"]:
            yield entry["response"]["location"].partition("/_history/")[0]
