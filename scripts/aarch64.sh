#!/bin/sh
# A 64-bit Arm board's userland on this machine: Debian's arm64 Python and the aarch64 wheels of LiteRT and ONNX Runtime,
# run by qemu-user. It shows that they give the answers that x86 does; it says nothing about speed. Needs no root.
#
# scripts/aarch64.sh FOLDER WHEEL ARTIFACT...    FOLDER keeps the userland; $PYTHON is the Python whose pip is used
set -eu
PYTHON=${PYTHON:-python3}
folder=$1 wheel=$2
shift 2
cores="cortex-a53 cortex-a72 cortex-a76"
root=$folder/root site=$folder/site
for program in qemu-aarch64 apt-get dpkg-deb; do
    command -v $program >/dev/null || { echo "no $program; on Debian: apt-get install qemu-user" >&2; exit 3; }
done

packages="libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libffi8 libbz2-1.0 liblzma5 libssl3 libuuid1
    python3.11-minimal libpython3.11-minimal libpython3.11-stdlib"
if [ ! -e "$root/.ready" ]; then
    rm -rf "$root" "$folder/apt"
    mkdir -p "$root" "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" "$folder/apt/debs"
    state=$(cd "$folder/apt" && pwd)
    apt() {
        apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State::Lists=$state/lists" \
            -o "Dir::Cache=$state/cache" -o Dir::State::status=/dev/null -o APT::Sandbox::User="$(id -un)" "$@"
    }
    apt update
    (cd "$folder/apt/debs" && apt download $packages)
    for package in "$folder"/apt/debs/*.deb; do dpkg-deb -x "$package" "$root"; done
    # What the libraries ask about the CPU: the guest's own answer, for the host's is of another machine.
    mkdir -p "$root/proc" "$root/sys/devices/system/cpu"
    cpus=$(nproc) # threads are bound to what the guest believes to have
    for core in $(seq 0 $((cpus - 1))); do
        printf 'processor\t: %s\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\n' $core
        printf 'CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n'
    done >"$root/proc/cpuinfo"
    for list in possible present online; do echo "0-$((cpus - 1))" >"$root/sys/devices/system/cpu/$list"; done
    touch "$root/.ready"
fi

rm -rf "$site"
platforms=$(for minor in $(seq 17 36); do echo "--platform manylinux_2_${minor}_aarch64"; done)
for what in "--require-hashes -r $(dirname "$0")/../requirements-runtime.lock" "$wheel"; do
    "$PYTHON" -m pip install --disable-pip-version-check --quiet --target "$site" --only-binary :all: --no-deps \
        --python-version 3.11 --implementation cp $platforms --platform manylinux2014_aarch64 $what
done

failed=0
for core in $cores; do
    echo "$core:"
    env -u PYTHONHOME PYTHONPATH="$site" PYTHONDONTWRITEBYTECODE=1 \
        qemu-aarch64 -cpu $core -L "$root" "$root/usr/bin/python3.11" "$(dirname "$0")/readme_example.py" "$@" || failed=1
done
exit $failed
