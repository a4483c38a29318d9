# shellcheck shell=bash
# shellcheck disable=SC2154 # $os and $root are set by os/build, which sources this
# Stage 4: kernel, microcode, initrd, agent and command line in one file that firmware starts.

# uki_build BASE INITRD AGENT_CPIO ROOT_HASH OUT
uki_build() {
    local base=$1 initrd=$2 agent=$3 hash=$4 out=$5
    local -a microcode=()
    [ ! -f "$base/boot/microcode.cpio" ] || microcode=(--microcode="$base/boot/microcode.cpio")
    ukify build --efi-arch="$efi" --stub="$base/boot/linux$efi.efi.stub" --linux="$base/boot/vmlinuz" \
        "${microcode[@]}" --initrd="$initrd" --initrd="$agent" \
        --uname="$(cat "$base/boot/kernel-version")" --os-release="@$base/root/usr/lib/os-release" \
        --cmdline="$(listed cmdline "$os/cmdline" | paste -sd" ") roothash=$hash" --output="$out" >"$out.log" 2>&1 ||
        die "ukify failed: $(cat "$out.log")"
    rm -f "$out.log"
}

# manifest VERSION ROOT_HASH DIR: what the manager serves and installs, with sizes and checksums.
manifest() {
    local version=$1 hash=$2 dir=$3 file comma=
    printf '{"version": "%s", "arch": "%s", "root_hash": "%s", "files": {' "$version" "$arch" "$hash"
    for file in "$dir"/*.{efi,kpxe} "$dir"/root.{erofs,verity} "$dir"/pi/*; do
        [ -f "$file" ] || continue
        file=${file#"$dir/"}
        printf '%s\n  "%s": {"size": %s, "sha256": "%s"}' "$comma" "$file" \
            "$(stat -c %s "$dir/$file")" "$(sha256sum <"$dir/$file" | cut -d' ' -f1)"
        comma=,
    done
    printf '\n}}\n'
}
