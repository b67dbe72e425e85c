#!/bin/sh
# The wheel for devices on emulated 64-bit Arm cores: does the README's example run there, and do artifacts give their
# golden vectors' answers? It says nothing about speed. Needs qemu-user and no root.
#
# scripts/aarch64.sh FOLDER WHEEL ARTIFACT...    FOLDER keeps the userland that `fmnist-edge emulate` uses too
set -eu
PYTHON=${PYTHON:-python3}
folder=$1 wheel=$2
shift 2
"$PYTHON" -m fmnist_edge.boards.emulation.userland "$folder"

FMNIST_EDGE_PACKAGE=$(cd "$folder" && pwd)/wheel # in place of the source tree's
export FMNIST_EDGE_PACKAGE
rm -rf "$FMNIST_EDGE_PACKAGE"
"$PYTHON" -m pip install --disable-pip-version-check --quiet --no-deps --target "$FMNIST_EDGE_PACKAGE" "$wheel"

failed=0
for python in "$folder"/cores/*/python; do
    echo "$(basename "$(dirname "$python")"):"
    "$python" "$(dirname "$0")/readme_example.py" "$@" || failed=1
done
exit $failed
