"""What stays on a phone when a campaign dies: processes and files, and how they are ended.

When a connection is cut, a phone ends the shell's own process and nothing that it had
started. Whatever runs from, or works on, our folder is ours; nothing else is touched.
"""

from __future__ import annotations

from fdi_keras.devices.adb.phone import FOLDER, PhoneLink

#: Where the measuring tool is kept between campaigns, if that is wished.
BIN = f"{FOLDER}/bin"

# One process for all of /proc each: a phone has hundreds of entries and forks slowly.
_OURS = f"""
ours() {{
  {{ ls -l /proc/[0-9]*/exe 2>/dev/null | sed -n 's#.*/proc/\\([0-9]*\\)/exe -> {FOLDER}/.*#\\1#p'
     grep -lz '^{FOLDER}/' /proc/[0-9]*/cmdline 2>/dev/null | sed 's#^/proc/\\([0-9]*\\)/.*#\\1#'
  }} | sort -un | while read -r pid; do
    state=; [ "$pid" = $$ ] && continue
    read -r state < /proc/$pid/stat 2>/dev/null || continue
    case $state in *") Z "*) ;; *) echo $pid;; esac
  done
}}
"""

_END = f"""{_OURS}
found=$(ours)
[ -z "$found" ] && exit 0
kill $found 2>/dev/null
for turn in 1 2 3 4 5; do left=$(ours); [ -z "$left" ] && break; sleep 0.1; done
[ -n "$left" ] && kill -9 $left 2>/dev/null && sleep 0.2
echo "ended" $found
left=$(ours)
[ -n "$left" ] && echo "alive" $left
exit 0
"""


def running(link: PhoneLink) -> list[int]:
    """Process ids on the phone of what is ours."""
    return _numbers(link.run(f"{_OURS}ours").stdout)


def end_processes(link: PhoneLink) -> tuple[list[int], list[int]]:
    """End what is ours, kindly and then by force; ids that were ended, and that live on."""
    told = {"ended": [], "alive": []}  # type: dict[str, list[int]]
    for line in link.run(_END, timeout_s=15.0).stdout.splitlines():
        word, _, rest = line.partition(" ")
        if word in told:
            told[word] = _numbers(rest)
    alive = told["alive"]
    return [pid for pid in told["ended"] if pid not in alive], alive


def remove_files(link: PhoneLink, keep_binary: bool) -> list[str]:
    """Remove our folder; names of what was in it.

    Args:
        keep_binary: leave its folder ``bin`` where it is.

    Raises:
        CommandFailedError: something could not be removed.
    """
    kept = "bin" if keep_binary else ""
    script = (
        f'cd {FOLDER} 2>/dev/null || exit 0; for name in .[!.]* *; do [ "$name" = "{kept}" ] && continue; '
        'if [ -e "$name" ] || [ -L "$name" ]; then printf "%s\\n" "$name"; rm -rf "./$name" || failed=1; fi; '
        "done; exit ${failed:-0}"
    )
    done = link.run(script).checked(f"removing files from {FOLDER}")
    if not keep_binary:
        link.remove(FOLDER)
    return done.stdout.splitlines()


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split() if word.isascii() and word.isdigit()]
