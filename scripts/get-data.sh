#!/bin/sh
# Get Fashion-MNIST for `make`: from the official mirrors, or, if they cannot be reached, from Debian's package, unpacked
# into our cache. It installs nothing, so it needs no root.
set -eu

fmnist-edge data --download && exit 0

command -v apt-get >/dev/null || exit 3
echo "the mirrors cannot be reached; getting Debian's package dataset-fashion-mnist instead" >&2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
apt() {
    apt-get -qq -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User="$(id -un)" "$@"
}
apt update
(cd "$work" && apt download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb unpacked)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/fmnist-edge"
mkdir -p "$cache"
cp "$work"/unpacked/usr/share/datasets/fashion-mnist/*.gz "$cache/"
fmnist-edge data
