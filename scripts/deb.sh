#!/usr/bin/env bash
# Makes a package for Debian or Ubuntu, for the release of it that this runs on: target/meshreel_VERSION_ARCHITECTURE.deb.
# It has the program, the models and ONNX Runtime in it; FFmpeg's libraries and Mesa it depends on.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "$1" >&2
    exit 1
}

for tool in dpkg-deb dpkg-shlibdeps; do
    command -v "$tool" >/dev/null || fail "$tool is missing; run: apt-get install dpkg-dev"
done
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
architecture=$(dpkg --print-architecture)
package=target/meshreel_${version}_$architecture.deb
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Others may read what is in a package, whatever mask its maker has.
umask 022
root=$work/debian/meshreel
mkdir -p "$root/DEBIAN"

# NVIDIA's libraries may not be passed on in a package.
PREFIX=/usr DESTDIR=$root ZSH_FOLDER=share/zsh/vendor-completions WITHOUT_GPU=yes bash scripts/install.sh install >/dev/null
# dpkg knows what is installed.
rm "$root/usr/share/meshreel/installed"
# Where Debian wants units of its packages.
mkdir -p "$root/usr/lib/systemd"
mv "$root/usr/share/systemd/user" "$root/usr/lib/systemd/user"
rmdir "$root/usr/share/systemd"
gzip -9n "$root"/usr/share/man/man1/*
documents=$root/usr/share/doc/meshreel
python3 scripts/licences.py "$documents/third-party-licences"
gzip -9n "$documents/third-party-licences"
{
    echo "meshreel is under the MIT licence (LICENSE-MIT) or the Apache License 2.0 (LICENSE-APACHE), as you like."
    echo "All else that is in this package: third-party-licences.gz; models/README.md tells where the models come from."
    echo
    cat LICENSE-MIT
} >"$documents/copyright"

# dpkg-shlibdeps wants a source package around.
echo "Source: meshreel" >"$work/debian/control"
depends=$(cd "$work" && dpkg-shlibdeps --warnings=0 -O debian/meshreel/usr/bin/meshreel debian/meshreel/usr/lib/meshreel/libonnxruntime.so)
depends=${depends#shlibs:Depends=}
case $depends in
*libavcodec*) ;;
*) fail "dpkg-shlibdeps does not know FFmpeg's libraries; run: apt-get install libavcodec-dev libavformat-dev" ;;
esac
cat >"$root/DEBIAN/control" <<END
Package: meshreel
Version: $version
Architecture: $architecture
Maintainer: The meshreel authors
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f 1)
Depends: $depends, libegl1, libegl-mesa0 | libegl-vendor, libgl1-mesa-dri
Section: video
Priority: optional
Description: draws 3D body meshes over the people in videos
 meshreel takes videos of people and writes the same videos with a 3D body mesh
 drawn over every person, plus the motion as data. It works on single files, or
 on all that is dropped into a folder, with a dashboard for the terminal.
 .
 It needs no GPU and no display.
END
# What the program keeps beside the models when root runs it.
cat >"$root/DEBIAN/postrm" <<'END'
#!/bin/sh
set -e
case $1 in
remove | purge)
    rm -rf /usr/share/meshreel/models/optimized
    for folder in /usr/share/meshreel/models /usr/share/meshreel; do
        if [ -d "$folder" ]; then rmdir --ignore-fail-on-non-empty "$folder"; fi
    done
    ;;
esac
END
chmod 755 "$root/DEBIAN/postrm"
(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
# gzip unpacks anywhere and packs the networks, which hardly shrink, in seconds.
dpkg-deb --root-owner-group -Zgzip --build "$root" "$work/meshreel.deb" >/dev/null
mv "$work/meshreel.deb" "$package"
echo "$package is made; install it with: apt-get install ./$package"
