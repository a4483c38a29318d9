# shellcheck shell=bash
# shellcheck disable=SC2154 # $os and $root are set by os/build, which sources this
# What all stages use.

say() { printf 'image: %s\n' "$*"; }
die() { printf 'image: %s\n' "$*" >&2; exit 1; }

# One date for all files: nothing in the image depends on when it was built.
export SOURCE_DATE_EPOCH=1735689600
export LC_ALL=C TZ=UTC

# make_cpio DIR: DIR as an archive that depends on nothing but names, modes and contents.
make_cpio() {
    find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    (cd "$1" && find . -mindepth 1 -print0 | sort -z |
        cpio --quiet --null --create --format=newc --reproducible --owner=0:0)
}

# hash_tree PATH...: one hash of names, modes, link targets and contents.
hash_tree() {
    find "$@" \( -type f -printf '%p %m ' -exec sha256sum {} \; \) -o -printf '%p %m %l\n' |
        sort | sha256sum | cut -d' ' -f1
}

# copy_overlay FROM TREE: our own files over TREE, owned by root whoever checked them out.
copy_overlay() {
    cp -r --no-preserve=ownership,timestamps --remove-destination "$1/." "$2/"
}

# enable_units KIND TREE: the units that os/units lists for KIND, as links beside their targets.
enable_units() {
    local kind unit target how
    while read -r kind how target unit; do
        [ "$kind" = "$1" ] || continue
        [ -e "$2/usr/lib/systemd/system/$unit" ] || die "os/units: $kind has no $unit"
        mkdir -p "$2/usr/lib/systemd/system/$target.$how"
        ln -sfn "../$unit" "$2/usr/lib/systemd/system/$target.$how/$unit"
    done <"$os/units"
}
