#!/bin/sh
# Runs its arguments with the first Python that is new enough; says so in one clear sentence when there is none.
# Plain POSIX: this is what runs on a machine that has nothing yet. PYTHON=/path/to/python chooses one by hand.
set -eu

new_enough() {
    command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if new_enough "$candidate"; then
        exec "$candidate" "$@"
    fi
done

if command -v "${PYTHON:-python3}" >/dev/null 2>&1; then
    found=$("${PYTHON:-python3}" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || found="of an unknown version"
    echo "这台机器上的 Python 是 $found，需要 3.11 或更新的版本：请安装，或用 PYTHON=路径 指定一个。" >&2
    echo "liuhen needs Python 3.11 or newer, but the one found is $found: install a newer one, or name it with PYTHON=/path/to/python3." >&2
else
    echo "这台机器上没有 Python，需要 3.11 或更新的版本：Debian/Ubuntu 请运行 apt install python3。" >&2
    echo "liuhen needs Python 3.11 or newer, but there is none here: on Debian or Ubuntu, apt install python3." >&2
fi
exit 2
