#!/bin/sh
# Fashion-MNIST for `make`: the official mirrors first; where those cannot be reached, Debian's package, unpacked
# into our cache. Nothing is installed, so it needs no root.
set -eu

fmnist-edge data --download && exit 0

command -v apt-get >/dev/null || exit 3
echo "mirrors not reachable; getting Debian's package dataset-fashion-mnist instead" >&2
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
