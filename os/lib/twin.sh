# shellcheck shell=bash
# shellcheck disable=SC2154 # $os, $root, $cache and what arch_set sets are known to os/build, which sources this
# Stage 1 for another architecture than the build machine's: the x86-64 base tree with each program and library
# replaced by the other architecture's. So nothing foreign has to run here, and what installation scripts make
# (accounts, certificates, links) is the same on both (docs/decisions/0018-arm64.md).

# twin_fetch DIR: as base_fetch.
twin_fetch() {
    local dir=$1 origin
    origin=$cache/base-x86-64-$(base_key)
    (arch_set x86-64 && base_have "$origin")
    twin_extract "$dir"
    twin_root "$origin/root" "$dir/extracted" "$dir/root"
    rm -rf "$dir/extracted"
}

# twin_extract DIR: DIR/extracted with the packages unpacked, DIR/debs with those that x86-64 unpacks only.
twin_extract() {
    local dir=$1 sources
    sources=$(debian_sources trixie "main non-free-firmware")
    # "extract" leaves no package database: the list is made of the archives while they are there.
    # shellcheck disable=SC2016 # the hook's own variables
    UNPACK=$(packages unpack | tr '\n' ' ') DEBS=$dir/debs LIST=$dir/archives mmdebstrap --quiet --mode=root \
        --variant=extract --architectures="$deb_arch" --include='?essential' \
        --include="$(packages install | paste -sd,)" \
        --aptopt='APT::Install-Recommends "false"' --aptopt='APT::Sandbox::User "root"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --extract-hook='mkdir "$LIST" && cp "$1"/var/cache/apt/archives/*.deb "$LIST/" &&
            cd "$DEBS" && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" &&
            kernel=$(echo "$UNPACK" | grep -o "linux-image-[^ ]*") &&
            image=$(apt-cache show "$kernel" | sed -n "s/^Depends: \(linux-image-[^ ]*\).*/\1/p" | head -n 1) &&
            apt-get -qq download $(echo "$UNPACK" | sed "s/$kernel/$image/")' \
        trixie "$dir/extracted" - <<<"$sources"
    base_list_packages "$dir"/archives/*.deb "$dir"/debs/*.deb | LC_ALL=C sort >"$dir/packages.txt"
    rm -rf "$dir/archives"
}

# twin_root ORIGIN OTHER TREE: at each of ORIGIN's paths what OTHER has there, or ORIGIN's own when that is no program.
twin_root() {
    local origin=$1 other=$2 tree=$3 path name
    mkdir -p "$tree"
    tar -C "$origin" --exclude=./usr/lib/modules --exclude=./usr/lib/firmware -c . | tar -C "$tree" -x
    mv "$tree/usr/lib/x86_64-linux-gnu" "$tree/usr/lib/$triplet"
    rm -rf "${tree:?}"/{lib64,usr/lib64,etc/ld.so.cache} "$tree"/etc/ld.so.conf.d/x86_64-linux-gnu.conf
    while IFS= read -r -d '' path; do
        name=$tree/$path
        if [ -e "$other/$path" ] || [ -L "$other/$path" ]; then
            cp -a --remove-destination "$other/$path" "$name"
        elif [ ! -L "$name" ] && head -c 4 "$name" | grep -q ELF; then
            rm "$name"
        fi
    done < <(find "$tree" ! -type d -printf '%P\0')
    # the loader's name is its architecture's
    cp -a "$other"/usr/lib/ld-linux-* "$tree/usr/lib/"
    cp -a "$other"/usr/lib/"$triplet"/ld-linux-* "$tree/usr/lib/$triplet/"
}
