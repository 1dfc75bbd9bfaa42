"""The folder of one export. Nothing that is there already is overwritten, unless it is the same export."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from adapter.export.manifest import NAME, File


class FolderTaken(Exception):
    """The folder holds something that is not this export; nothing was written."""


def check_folder(folder: Path, files: Sequence[File]) -> bool:
    """Whether the folder holds these very files already. Raises FolderTaken where it holds anything else."""
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise FolderTaken(f"{folder} is no folder; give --out one, or a name that is not taken")
    there = {path.name for path in folder.iterdir()} - {NAME}
    content = {file.name: file.content for file in files}
    other = sorted(name for name in there if name not in content or not _holds(folder / name, content[name]))
    if other:
        raise FolderTaken(
            f"{folder} holds something that is not this export ({', '.join(other[:3])}); nothing is overwritten: "
            "give --out a folder of its own"
        )
    if (folder / NAME).exists() and there != content.keys():
        raise FolderTaken(f"{folder} holds the manifest of another export; give --out a folder of its own")
    return there == content.keys()


def write_folder(folder: Path, files: Sequence[File], manifest: bytes) -> None:
    """Write the files that are not there yet, and the manifest. Whoever runs the command may read them, nobody else."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in [*((f.name, f.content) for f in files), (NAME, manifest)]:
        if name != NAME and (folder / name).exists():
            continue
        part = folder / f".{name}.part"
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        part.replace(folder / name)


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content
