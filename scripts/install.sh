#!/usr/bin/env bash
# Installs what `make build` made below PREFIX, or removes it:
#
#     [PREFIX=/usr/local] [DESTDIR=] bash scripts/install.sh install|uninstall
#
# With DESTDIR everything goes below that folder, as if it were the root: for those who make packages. What is installed,
# and which folders were made for it, is noted in share/meshreel/installed; `uninstall` removes that and nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

PREFIX=${PREFIX:-/usr/local}
DESTDIR=${DESTDIR:-}
# Debian's packages have their own folder for zsh.
ZSH_FOLDER=${ZSH_FOLDER:-share/zsh/site-functions}
PROGRAM=${PROGRAM:-target/release/meshreel}
# The networks with `_segmentation` in their names serve accuracy measurements only.
MODELS=(person_detection.onnx pose_detection.onnx pose_landmark_{lite,full,heavy}.onnx hand_landmark.onnx body.safetensors built.json)

fail() {
    echo "$1" >&2
    exit 1
}

case $PREFIX in
/*) ;;
*) fail "PREFIX must be a whole path, such as /usr/local; it is \"$PREFIX\"" ;;
esac
PREFIX=${PREFIX%/}
ROOT=$DESTDIR$PREFIX
LIST=$ROOT/share/meshreel/installed
TEMPORARY=$(mktemp -d)
trap 'rm -rf "$TEMPORARY"' EXIT
NEW_LIST=$TEMPORARY/installed
: >"$NEW_LIST"
export LC_ALL=C

# Notes what is installed, relative to PREFIX.
note() {
    echo "$1" >>"$NEW_LIST"
}

# Makes a folder below PREFIX, and notes each one that was not there.
folder() {
    [ -d "$ROOT/$1" ] && return
    case $1 in
    */*) folder "${1%/*}" ;;
    esac
    install -d -m 755 "$ROOT/$1"
    note "$1/"
}

# put MODE FROM TO
put() {
    folder "${3%/*}"
    install -m "$1" "$2" "$ROOT/$3"
    note "$3"
}

# link TARGET NAME, the target relative to the folder of the link
link() {
    folder "${2%/*}"
    ln -sfn "$1" "$ROOT/$2"
    note "$2"
}

# Removes what a list names and what is not among the `kept` lines: files first, then those of the folders that are empty.
remove() {
    local list=$1 kept=$2 name
    while read -r name; do
        rm -f "$ROOT/$name"
    done < <(grep -v '/$' "$list" | grep -vxF -f "$kept")
    # Deepest first.
    while read -r name; do
        rmdir "$ROOT/$name" 2>/dev/null || true
    done < <(grep '/$' "$list" | grep -vxF -f "$kept" | sort -r)
}

install_all() {
    local model page shell file made=$TEMPORARY
    [ -x "$PROGRAM" ] || fail "$PROGRAM is not there; run \`make build\` first"
    for model in "${MODELS[@]}" libonnxruntime.so; do
        [ -f "models/$model" ] || fail "models/$model is not there; run \`make build\` first"
    done
    if [ ! -d "$ROOT" ]; then
        install -d -m 755 "$ROOT" || fail "$ROOT cannot be made; run this as root, or choose another PREFIX"
        # PREFIX itself.
        note /
    fi
    [ -w "$ROOT" ] || fail "$ROOT cannot be written; run this as root, or choose another PREFIX"

    # Without what only debuggers read: six times smaller.
    strip -g -o "$made/meshreel" "$PROGRAM" 2>/dev/null || cp "$PROGRAM" "$made/meshreel"
    for shell in bash zsh fish; do
        "$PROGRAM" completions "$shell" >"$made/$shell"
    done
    "$PROGRAM" man "$made/man"
    sed "s|@PREFIX@|$PREFIX|" packaging/meshreel.service >"$made/meshreel.service"

    for model in "${MODELS[@]}"; do
        put 644 "models/$model" "share/meshreel/models/$model"
    done
    # Libraries belong in lib; the program looks for them beside the models.
    put 644 models/libonnxruntime.so lib/meshreel/libonnxruntime.so
    link ../../../lib/meshreel/libonnxruntime.so share/meshreel/models/libonnxruntime.so
    if [ -d models/gpu ] && [ -z "${WITHOUT_GPU:-}" ]; then
        while read -r file; do
            put 644 "models/$file" "lib/meshreel/$file"
        done < <(cd models && find -L gpu -type f)
        link ../../../lib/meshreel/gpu share/meshreel/models/gpu
    fi
    put 755 "$made/meshreel" bin/meshreel
    put 644 "$made/bash" share/bash-completion/completions/meshreel
    put 644 "$made/zsh" "$ZSH_FOLDER/_meshreel"
    put 644 "$made/fish" share/fish/vendor_completions.d/meshreel.fish
    for page in "$made"/man/*; do
        put 644 "$page" "share/man/man1/${page##*/}"
    done
    put 644 "$made/meshreel.service" share/systemd/user/meshreel.service
    # As in the checkout, so that their links lead somewhere.
    for file in README.md config.example.toml LICENSE-MIT LICENSE-APACHE models/README.md docs/*.* docs/gallery/* models/networks/examples/*; do
        put 644 "$file" "share/doc/meshreel/$file"
    done

    note share/meshreel/installed
    if [ -f "$LIST" ]; then
        # Of an earlier installation: what this one no longer has goes; folders that it made stay ours.
        remove "$LIST" "$NEW_LIST"
        while read -r folder; do
            [ ! -d "$ROOT/$folder" ] || note "$folder"
        done < <(grep '/$' "$LIST" | grep -vxF -f "$NEW_LIST")
    fi
    sort -u "$NEW_LIST" >"$made/sorted"
    install -m 644 "$made/sorted" "$LIST"
    echo "meshreel is installed: $PREFIX/bin/meshreel; $PREFIX/share/doc/meshreel/config.example.toml lists the settings"
}

uninstall_all() {
    [ -f "$LIST" ] || fail "$LIST is not there: nothing was installed below $ROOT by \`make install\`"
    [ -w "$LIST" ] || fail "$ROOT cannot be written; run this as the user who installed it"
    cp "$LIST" "$NEW_LIST"
    # The program makes these when it may.
    rm -rf "$ROOT/share/meshreel/models/optimized"
    remove "$NEW_LIST" /dev/null
    echo "meshreel is removed; the settings, queues and results of its users are left alone"
}

case ${1:-} in
install) install_all ;;
uninstall) uninstall_all ;;
*) fail "usage: [PREFIX=/usr/local] [DESTDIR=] bash scripts/install.sh install|uninstall" ;;
esac
