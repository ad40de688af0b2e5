"""Draws the pictures of the dashboard's rooms, from real journals and profiles.

    python docs/make_screens.py [--state FOLDER] [--session FILE] [--profile FILE]

``docs/pictures/room-*.svg``, one a room, of what lies in FOLDER (the state folder unless given:
``FDI_STATE``). ``fdi demo`` leaves a campaign there, and a session and a profile in its own folder, which
``--session`` and ``--profile`` add. Nothing is invented: without a campaign there is no picture of one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import tempfile
from pathlib import Path

from fdi_keras.journal import state_folder
from fdi_keras.profile import profile_folder

PICTURES = Path(__file__).parent / "pictures"
SIZE = (124, 36)

#: Room: a text that is there when all is shown, and keys that lead to something worth seeing.
ROOMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "devices": ("load", ()),
    "campaign": ("measured", ()),
    "rules": ("time minima", ("l", "l", "j")),
    "sessions": ("predicted latency", ()),
    "profiles": ("x86-avx512-litert", ()),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--state", type=Path, default=state_folder())
    parser.add_argument("--session", type=Path, action="append", default=[])
    parser.add_argument("--profile", type=Path, action="append", default=[])
    parser.add_argument("--rooms", default=",".join(ROOMS))
    arguments = parser.parse_args()
    pictures = PICTURES.resolve()
    with tempfile.TemporaryDirectory() as folder:
        # Copies under short relative names, so that no path of this computer is in a picture.
        place = Path(folder)
        for kind in ("campaigns", "sessions"):
            (place / "fdi" / kind).mkdir(parents=True)
            for journal in (arguments.state / kind).glob("*.jsonl"):
                shutil.copy2(journal, place / "fdi" / kind)
        for session in arguments.session:
            shutil.copy2(session, place / "fdi" / "sessions" / f"{session.parent.name}.jsonl")
        (place / "fdi" / "profiles").mkdir()
        for profile in (*profile_folder().glob("*.json"), *arguments.profile):
            shutil.copy2(profile, place / "fdi" / "profiles")
        os.chdir(place)
        os.environ["FDI_STATE"] = "fdi"  # of the process that learns as well
        os.environ.setdefault("FDI_ADB", "none")
        for room in arguments.rooms.split(","):
            svg = asyncio.run(picture(room))
            (pictures / f"room-{room}.svg").write_text(without_fonts(svg))
        os.chdir(pictures)


async def picture(room: str) -> str:
    """A room as SVG."""
    from fdi_tui.app import FdiApp
    from fdi_tui.sources import Sources

    text, keys = ROOMS[room]
    app = FdiApp(Sources(Path("fdi"), Path("fdi/profiles")), room=room, settings_file=Path("settings.json"))
    async with app.run_test(size=SIZE) as pilot:
        for _ in range(100):
            await pilot.pause(0.1)
            if text in app.export_screenshot().replace("&#160;", " "):
                break
        else:
            raise SystemExit(f"the room {room!r} does not show {text!r}: is there anything to see?")
        await pilot.press(*keys)
        await pilot.pause(60.0 if room == "campaign" else 2.0)  # a campaign's curve is learned meanwhile
        return app.export_screenshot(title="fdi")


def without_fonts(svg: str) -> str:
    """A picture that asks no other host for fonts, and whose blanks stay where they are in every viewer."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)
    svg = re.sub(r"font-family: [^;]*;", "font-family: ui-monospace, Menlo, Consolas, monospace;", svg)
    return svg.replace("<svg ", '<svg xml:space="preserve" ', 1)


if __name__ == "__main__":
    main()
