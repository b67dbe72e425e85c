#!/bin/sh
# Get a software GPU, for tests on machines without a GPU: lavapipe, Mesa's Vulkan driver for CPUs. It unpacks Debian's
# packages without installing them, so it needs no root. Prints the environment variables that select the driver:
#
# eval "$(scripts/get-lavapipe.sh FOLDER)"    FOLDER gets the driver, about 310 MB (default build/lavapipe)
set -eu
folder=${1:-build/lavapipe}
root=$folder/root libraries=usr/lib/x86_64-linux-gnu

# bookworm's own Mesa, 22.3, is too old for Dawn, the library behind WebGPU. The other packages are libraries that the
# driver loads.
packages="mesa-vulkan-drivers/bookworm-backports libdrm2/bookworm-backports libvulkan1 libllvm15 libx11-xcb1 libxcb1
    libxcb-dri3-0 libxcb-present0 libxcb-randr0 libxcb-shm0 libxcb-sync1 libxcb-xfixes0 libxshmfence1 libwayland-client0
    libxau6 libxdmcp6 libbsd0 libmd0 libexpat1 libffi8 libedit2 libtinfo6 libz3-4 libzstd1 zlib1g libxml2 libicu72
    liblzma5"
if [ ! -e "$root/.ready" ]; then
    for program in apt-get dpkg-deb; do
        command -v $program >/dev/null || { echo "$program not found; install Mesa's Vulkan drivers, 23 or later" >&2; exit 3; }
    done
    rm -rf "$folder"
    mkdir -p "$root" "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" "$folder/apt/debs"
    state=$(cd "$folder/apt" && pwd)
    for suite in bookworm bookworm-backports; do
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main"
    done >"$state/sources.list"
    apt() {
        apt-get -qq -o APT::Architecture=amd64 -o APT::Architectures=amd64 \
            -o "Dir::Etc::SourceList=$state/sources.list" -o Dir::Etc::SourceParts=- \
            -o "Dir::State::Lists=$state/lists" -o "Dir::Cache=$state/cache" -o Dir::State::status=/dev/null \
            -o APT::Sandbox::User="$(id -un)" "$@" >&2
    }
    apt update
    (cd "$folder/apt/debs" && apt download $packages)
    for package in "$folder"/apt/debs/*.deb; do dpkg-deb -x "$package" "$root"; done
    rm -rf "$folder/apt"
    touch "$root/.ready"
fi

root=$(cd "$root" && pwd)
echo "export VK_ICD_FILENAMES='$root/usr/share/vulkan/icd.d/lvp_icd.json'"
echo "export LD_LIBRARY_PATH='$root/$libraries'"
echo "export ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER=1"
