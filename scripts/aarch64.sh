#!/bin/sh
# Test the wheel for devices on emulated 64-bit Arm cores: run the README's example, and compare the artifacts' answers
# with their golden vectors. It measures no speed. Needs qemu-user, but no root.
#
# scripts/aarch64.sh FOLDER WHEEL ARTIFACT...    FOLDER holds the userland, which `fmnist-edge emulate` also uses
set -eu
PYTHON=${PYTHON:-python3}
folder=$1 wheel=$2
shift 2
"$PYTHON" -m fmnist_edge.boards.emulation.userland "$folder"

FMNIST_EDGE_PACKAGE=$(cd "$folder" && pwd)/wheel # instead of the package in the source tree
export FMNIST_EDGE_PACKAGE
rm -rf "$FMNIST_EDGE_PACKAGE"
"$PYTHON" -m pip install --disable-pip-version-check --quiet --no-deps --target "$FMNIST_EDGE_PACKAGE" "$wheel"

failed=0
for python in "$folder"/cores/*/python; do
    echo "$(basename "$(dirname "$python")"):"
    "$python" "$(dirname "$0")/readme_example.py" "$@" || failed=1
done
exit $failed
