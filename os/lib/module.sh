# shellcheck shell=bash
# shellcheck disable=SC2154 # $os, $cache and what arch_set sets are known to os/build, which sources this
# Our own kernel module, of arm64 only, built against the very kernel that is in the image.

# module_build VERSION TO: os/kernel for this kernel of Debian's, as TO/*.ko. Debian's compiler for it, its headers and
# their tools live in a tree of their own while it lasts, since those of the machine may be of another release.
module_build() {
    local version=$1 to=$2 tree=$2/module.work abi=${1%-"$deb_arch"} sources
    say "base: kernel module for $version"
    sources=$(debian_sources trixie main)
    rm -rf "$tree"
    # The headers ask for a compiler that runs on arm64, so that package alone is unpacked by hand.
    # shellcheck disable=SC2016 # the hook's own variables
    HEADERS=linux-headers-$version:$deb_arch mmdebstrap --quiet --mode=root --variant=extract --format=directory \
        --architectures="amd64,$deb_arch" \
        --aptopt='APT::Install-Recommends "false"' --aptopt='APT::Sandbox::User "root"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --extract-hook='cd "$1" && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" && apt-get -qq download "$HEADERS" &&
            dpkg -x ./*.deb . && rm ./*.deb' \
        --include="base-files,bash,coreutils,findutils,grep,mawk,sed,make,gcc-14-aarch64-linux-gnu" \
        --include="linux-kbuild-$abi,linux-headers-$abi-common" \
        trixie "$tree" - <<<"$sources"
    cp -r "$os/kernel" "$tree/module"
    # shellcheck disable=SC2016 # expanded in the namespace
    unshare --mount bash -c '
        set -e
        mount --rbind /dev "$0/dev"
        chroot "$0" /usr/bin/env -i PATH=/usr/bin:/bin LC_ALL=C ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu- \
            /bin/bash -ec "ln -sf mawk /usr/bin/awk; ln -sf bash /usr/bin/sh
                make -s -C /usr/src/linux-headers-$1 M=/module modules
                aarch64-linux-gnu-strip --strip-debug /module/*.ko"
    ' "$tree" "$version" >"$to/module.log" 2>&1 || { cat "$to/module.log" >&2 && die "the kernel module could not be built"; }
    cp "$tree"/module/*.ko "$to/"
    rm -rf "$tree" "$to/module.log"
}
