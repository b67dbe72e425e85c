#!/bin/sh
# A GPU in software, to test on machines without one: Mesa's lavapipe, the Vulkan driver that runs on the CPU, from
# Debian's packages, unpacked and not installed, so it needs no root. Prints the environment to use it by.
#
# eval "$(scripts/get-lavapipe.sh FOLDER)"    FOLDER keeps the driver, about 200 MB (default build/lavapipe)
set -eu
folder=${1:-build/lavapipe}
for program in apt-get apt-cache dpkg-deb; do
    command -v $program >/dev/null || { echo "no $program; install your system's Mesa Vulkan drivers, 23 or later" >&2; exit 3; }
done

# bookworm's own Mesa, 22.3, is too old for Dawn (WebGPU) and for ncnn; the driver is of backports, the rest is not.
packages="mesa-vulkan-drivers/bookworm-backports libdrm-common/bookworm-backports libdrm2/bookworm-backports
    libdrm-amdgpu1/bookworm-backports libvulkan1 libllvm19 libxcb1 libx11-6 libx11-xcb1 libxcb-dri3-0 libxcb-present0
    libxcb-randr0 libxcb-shm0 libxcb-sync1 libxcb-xfixes0 libxshmfence1 libwayland-client0 libzstd1 libelf1 libedit2
    libz3-4 libxml2 libudev1 libexpat1 libffi8 libtinfo6 libbsd0 libmd0 libxau6 libxdmcp6 libicu72 liblzma5 zlib1g"
root=$folder/root
if [ ! -e "$root/.ready" ]; then
    rm -rf "$folder"
    mkdir -p "$root" "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" "$folder/apt/debs"
    state=$(cd "$folder/apt" && pwd)
    for suite in bookworm bookworm-backports; do
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main"
    done >"$state/sources.list"
    apt() {
        apt-get -qq -o "Dir::Etc::SourceList=$state/sources.list" -o Dir::Etc::SourceParts=- \
            -o "Dir::State::Lists=$state/lists" -o "Dir::Cache=$state/cache" -o Dir::State::status=/dev/null \
            -o APT::Sandbox::User="$(id -un)" "$@" >&2
    }
    apt update
    (cd "$folder/apt/debs" && apt download $packages)
    for package in "$folder"/apt/debs/*.deb; do dpkg-deb -x "$package" "$root"; done
    touch "$root/.ready"
fi
