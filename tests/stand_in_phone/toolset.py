"""Shell scripts that answer as a phone's programs do; ``$state`` is the folder of its state."""

SCRIPTS = {
    "getprop": """
if [ $# -eq 0 ]; then
    cd "$state/prop" && for name in *; do printf '[%s]: [%s]\\n' "$name" "$(cat "$name")"; done
elif [ -f "$state/prop/$1" ]; then cat "$state/prop/$1"
else echo "$2"
fi
""",
    "setprop": """
case $1 in ro.*) echo "Failed to set property '$1' to '$2'." >&2; exit 1;; esac
printf '%s\\n' "$2" > "$state/prop/$1"
""",
    "settings": """
verb=$1 space=$2 name=$3
mkdir -p "$state/settings/$space"
file=$state/settings/$space/$name
case $verb in
get) if [ -f "$file" ]; then cat "$file"; else echo null; fi;;
put) printf '%s\\n' "$4" > "$file.new" && mv "$file.new" "$file";;
delete) if [ -f "$file" ]; then rm -f "$file"; echo "Deleted 1 rows"; else echo "Deleted 0 rows"; fi;;
list) cd "$state/settings/$space" && for f in *; do echo "$f=$(cat "$f")"; done;;
*) echo "Invalid command: $verb" >&2; exit 255;;
esac
""",
    "dumpsys": """
case $1 in
battery) file=battery;;
thermalservice) file=thermal;;
*) echo "Can't find service: $1" >&2; exit 1;;
esac
if [ -f "$state/$file" ]; then cat "$state/$file"; else echo "Can't find service: $1" >&2; exit 1; fi
""",
    "cmd": """
if [ "$1 $2" = "power help" ]; then
    echo "Power manager (power) commands:"
    [ -f "$state/fixed_performance" ] && echo "  set-fixed-performance-mode-enabled [true|false]"
    exit 0
fi
if [ "$1 $2" != "power set-fixed-performance-mode-enabled" ]; then
    echo "cmd: Can't find service: $1" >&2; exit 20
fi
if [ ! -f "$state/fixed_performance" ]; then
    echo "java.lang.IllegalArgumentException: unknown command $2" >&2; exit 255
fi
echo "$3" > "$state/fixed_performance"
""",
    "input": """
[ "$1 $2" = "keyevent KEYCODE_WAKEUP" ] && echo true > "$state/awake"
exit 0
""",
    # toybox: a hexadecimal mask without 0x, then the command in its place.
    "taskset": """
mask=$1; shift
case $mask in ''|*[!0-9a-fA-F]*) echo "taskset: bad mask '$mask'" >&2; exit 1;; esac
case $mask in *[!0]*) ;; *) echo "taskset: failed to set affinity: Invalid argument" >&2; exit 1;; esac
exec "$@"
""",
    # Only this phone's processes: those that carry its mark in their environment.
    "pidof": """
found=
for file in $(grep -lzxF "FDI_STAND_IN=$FDI_STAND_IN" /proc/[0-9]*/environ 2>/dev/null); do
    folder=${file%/environ}
    words=$(tr '\\0' '\\n' < "$folder/cmdline" 2>/dev/null | head -n 2)
    for word in $words; do
        if [ "${word##*/}" = "$1" ] && [ "${folder#/proc/}" != $$ ]; then
            found="$found${found:+ }${folder#/proc/}"; break
        fi
    done
done
[ -n "$found" ] && echo "$found"
""",
    "df": """
free=$(cat "$state/free_kb")
echo "Filesystem     1K-blocks     Used Available Use% Mounted on"
echo "/dev/block/dm-5 114159596 $((114159596 - free)) $free  50% /data"
""",
    "simpleperf": """
[ "$1" = stat ] || { echo "simpleperf: unknown command $1" >&2; exit 1; }
shift
while [ $# -gt 0 ]; do
    case $1 in -o) output=$2; shift 2;; -e|--app) shift 2;; -*) shift;; *) break;; esac
done
if [ "$(cat "$state/prop/security.perf_harden" 2>/dev/null)" = 1 ]; then
    echo "simpleperf E perf_event_paranoid: Permission denied" >&2; exit 1
fi
"$@"; code=$?
cat > "${output:-/dev/stdout}" <<'END'
Performance counter statistics:

#      count  event_name         # count / runtime
  12,345,678  cache-references   # 151.228 M/sec
     234,567  cache-misses       # 2.873 M/sec

Total test time: 0.081636 seconds.
END
exit $code
""",
}
