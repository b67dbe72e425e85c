#!/bin/sh
# Get sshd for the tests of `bench --on`: unpack Debian's package into build/sshd. It installs nothing, so it needs no
# root. When this fails, those tests are skipped.
set -eu

command -v /usr/sbin/sshd >/dev/null && exit 0
[ -x build/sshd/usr/sbin/sshd ] && exit 0
command -v apt-get >/dev/null || exit 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" build
apt() {
    apt-get -qq -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User="$(id -un)" "$@"
}
apt update
cd "$work"
apt download openssh-server libwrap0
for package in *.deb; do dpkg-deb -x "$package" unpacked; done
cd - >/dev/null
mv "$work/unpacked" build/sshd
