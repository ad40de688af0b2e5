"""``python -m tests.stand_in_phone ROOT [OPTIONS as JSON]``: a phone until standard input ends.

The first line printed is its port. Every line read is a call as JSON, ``["reboot", 0.5]``;
every line printed answers one: ``{"value": ...}`` or ``{"error": "..."}``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from .phone import StandInPhone


def _say(**answer: Any) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    options = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    if "features" in options:
        options["features"] = tuple(options["features"])
    with StandInPhone(sys.argv[1], **options) as phone:
        _say(value=phone.port)
        for line in sys.stdin:
            try:
                name, *arguments = json.loads(line)
                found = getattr(phone, name)
                value = found(*arguments) if callable(found) else found
                _say(value=value if isinstance(value, (str, int, float, list, type(None))) else str(value))
            except Exception as error:  # whoever called is told
                _say(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
