# shellcheck shell=bash
# shellcheck disable=SC2154 # $os and $root are set by os/build, which sources this
# Stage 2: the read-only root: base tree, our files, the agent; as EROFS with its dm-verity tree.

# Fixed, because the root hash has to depend on the content alone.
VERITY_SALT=b8b1f7c3a2d04f1f9a5f1f6c3b7e9d52b8b1f7c3a2d04f1f9a5f1f6c3b7e9d52

# root_build BASE AGENT KEY OUT makes OUT/root.erofs, OUT/root.verity and OUT/root.hash; KEY is the hash of
# all that goes in.
root_build() {
    local base=$1 agent=$2 out=$4 tree=$4/root.work uuid
    uuid=$(content_uuid "$3")
    rm -rf "$tree"
    cp -a "$base/root" "$tree"
    copy_overlay "$os/tree/both" "$tree"
    copy_overlay "$os/tree/root" "$tree"
    enable_units root "$tree"
    # There is no fstab; in the initrd this is what finds root= on the command line.
    rm "$tree/usr/lib/systemd/system-generators/systemd-fstab-generator"
    install -m 755 "$agent" "$tree/usr/bin/cairn-agent"
    install -D -m 644 "$base/packages.txt" "$tree/usr/share/cairn/packages.txt"
    # Mount points of what a node owns: filled by the initrd from the data partition.
    : >"$tree/etc/machine-id"
    : >"$tree/etc/hostname"
    mkdir -p "$tree/etc/rancher"
    rm -f "$out/root.erofs" "$out/root.verity"
    # Measured under emulation: zstd saves a tenth of the size, boots no faster and takes thrice as long here.
    mkfs.erofs --quiet -zlz4hc,9 -C16384 -Eztailpacking --all-root -T"$SOURCE_DATE_EPOCH" \
        -U"$uuid" "$out/root.erofs" "$tree" >/dev/null
    veritysetup format --salt="$VERITY_SALT" --uuid="$uuid" --root-hash-file="$out/root.hash" \
        "$out/root.erofs" "$out/root.verity" >/dev/null
    chmod 644 "$out/root.verity"
    rm -rf "$tree"
}

# content_uuid HEX: a UUID (version 8, RFC 9562) made of a hash.
content_uuid() {
    echo "${1:0:8}-${1:8:4}-8${1:13:3}-8${1:17:3}-${1:20:12}"
}
