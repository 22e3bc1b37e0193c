#!/bin/sh
# Renews run.txt, dev.txt, lock.txt and sizes.tsv from pyproject.toml; `make lock` (pins stay), `make lock UPGRADE=1` (newest that fit).
# uv, because it alone writes one lock for every Python and platform; it does not read pip's configuration, so its index is handed over.
# No index and no URL is written: everybody's own pip finds the files, the digests say which ones.
set -eu
cd "$(dirname "$0")/../.."
here=deploy/requirements
bin=.venv/bin
pip=$(ls deploy/bootstrap/pip-*.whl)/pip
index=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$("$bin/python" "$pip" config get global.index-url 2>/dev/null || true)}}
if [ -n "$index" ]; then export UV_DEFAULT_INDEX="$index"; fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

compile() {
    "$bin/uv" --system-certs --quiet pip compile --universal --python-version 3.11 --only-binary :all: \
        --no-emit-index-url --custom-compile-command "make lock" ${UPGRADE:+--upgrade} "$@"
}

for name in run dev lock; do
    case $name in
        run) what="pyproject.toml --extra xlsx --group build" ;;
        dev) what="--group dev -c $here/run.txt" ;;
        lock) what="--group lock" ;;
    esac
    # $what is several words on purpose
    compile --generate-hashes $what -o "$here/$name.txt"
    cp "$here/$name.txt" "$scratch/$name.txt"
    compile --format pylock.toml -c "$scratch/$name.txt" $what -o "$scratch/pylock.$name.toml"
done
"$bin/python" "$here/sizes.py" "$scratch"/pylock.*.toml >"$here/sizes.tsv"

if grep -nE '://' "$here"/*.txt; then
    echo "an address got into the lock: see the lines above" >&2
    exit 1
fi
