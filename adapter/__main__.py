"""``python -m adapter`` is ``lab-adapter``."""

from adapter.cli import main

main()
