# shellcheck shell=bash
# shellcheck disable=SC2154 # $os, $root and what arch_set sets are known to os/build, which sources this
# Stage 1: the Debian packages as a tree, before anything of Cairn's is in it. Cached by its inputs.
#
# base_build DIR makes
#   DIR/root/         the trimmed root tree, kernel modules as .ko.zst, firmware of the drivers that are in
#   DIR/boot/         vmlinuz, kernel-version, the EFI stub, systemd-boot; of x86-64 iPXE for a BIOS's PXE ROM, a
#                     memory test for UEFI, and microcode.cpio; of arm64 pi/, what a Raspberry Pi starts with
#                     instead of UEFI
#   DIR/packages.txt  each package with its exact version

packages() { listed "$1" "$os/packages"; }

base_key() {
    sha256sum "$os"/packages "$os"/modules "$os"/kernel/* "$os"/lib/{arch,base,module,twin,trim}.sh \
        "$root/scripts/debian-mirror" | cut -d' ' -f1 | sha256sum | cut -c1-16
}

# base_have DIR: the base tree of this architecture, made when it is not there.
base_have() {
    [ ! -d "$1" ] || return 0
    rm -rf "$cache"/{base,initrd}-"$arch"-*
    base_build "$1"
}

base_build() {
    local dir=$1
    rm -rf "$dir" "$dir.new"
    mkdir -p "$dir.new/debs" "$dir.new/boot"
    say "base: fetching Debian packages for $arch"
    case $arch in
        x86-64) base_fetch "$dir.new" ;;
        *) twin_fetch "$dir.new" ;;
    esac
    local deb
    for deb in "$dir.new"/debs/*.deb; do
        dpkg -x "$deb" "$dir.new/unpacked"
    done
    say "base: kernel, firmware, boot files"
    base_boot_files "$dir.new"
    base_modules "$dir.new"
    base_firmware "$dir.new"
    [ "$arch" != x86-64 ] || base_trim "$dir.new/root"
    rm -rf "$dir.new/unpacked" "$dir.new/debs"
    mv "$dir.new" "$dir"
}

# base_fetch DIR: DIR/root with the packages installed, DIR/debs with those to be unpacked, DIR/packages.txt.
base_fetch() {
    local dir=$1 sources
    sources=$(debian_sources trixie "main non-free-firmware")
    # etcd's files outlive the image that made them, so its number is not left to the order of installation.
    # shellcheck disable=SC2016 # the hooks' own variables
    UNPACK=$(packages unpack | tr '\n' ' ') DEBS=$dir/debs mmdebstrap --quiet --mode=root \
        --variant=essential --include="$(packages install | paste -sd,)" \
        --aptopt='APT::Install-Recommends "false"' --aptopt='APT::Sandbox::User "root"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --essential-hook='echo "etcd:x:250:250::/var/lib/etcd:/usr/sbin/nologin" >>"$1/etc/passwd" &&
            echo "etcd:x:250:" >>"$1/etc/group" && echo "etcd:*:20000::::::" >>"$1/etc/shadow"' \
        --customize-hook='cd "$DEBS" && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" &&
            image=$(apt-cache show linux-image-amd64 | sed -n "s/^Depends: \(linux-image-[^ ]*\).*/\1/p" | head -n 1) &&
            apt-get -qq download $(echo "$UNPACK" | sed "s/linux-image-amd64/$image/")' \
        trixie "$dir/root" - <<<"$sources"
    {
        dpkg-query --admindir="$dir/root/var/lib/dpkg" -W -f '${Package} ${Version} ${Architecture}\n'
        base_list_packages "$dir"/debs/*.deb
    } | LC_ALL=C sort >"$dir/packages.txt"
}

base_list_packages() {
    local deb
    for deb in "$@"; do
        # shellcheck disable=SC2016 # dpkg-deb's own placeholders
        dpkg-deb -W --showformat '${Package} ${Version} ${Architecture}\n' "$deb"
    done
}

base_boot_files() {
    local dir=$1 from=$1/unpacked
    cp "$from"/boot/vmlinuz-* "$dir/boot/vmlinuz"
    basename "$from"/boot/vmlinuz-* | sed 's/^vmlinuz-//' >"$dir/boot/kernel-version"
    cp "$from"/usr/lib/systemd/boot/efi/{"linux$efi.efi.stub","$loader"} "$dir/boot/"
    mkdir -p "$dir/root/usr/lib/systemd/boot/efi"
    cp "$from/usr/bin/bootctl" "$dir/root/usr/bin/"
    [ "$arch" != arm64 ] || base_pi_files "$from" "$dir/boot/pi"
    [ "$arch" = x86-64 ] || return 0
    cp "$from/usr/lib/ipxe/undionly.kpxe" "$dir/boot/"
    cp "$from/boot/memtest86+x64.efi" "$dir/boot/memtest.efi"
    # The CPU's microcode has to lie uncompressed in front of the initrd. Many of Intel's files are
    # copies of each other; those of the rack servers of 2024 (6.5 MB in three files) stay away, since
    # what comes with such a machine's firmware is newer than what is needed to boot it.
    local microcode=$dir/microcode/kernel/x86/microcode
    mkdir -p "$microcode"
    rm -f "$from"/usr/lib/firmware/intel-ucode/06-{ad-01,ae-01,af-03}
    (cd "$from/usr/lib/firmware/intel-ucode" && sha256sum ./* | LC_ALL=C sort -k2 |
        awk '!seen[$1]++ { print $2 }' | xargs cat) >"$microcode/GenuineIntel.bin"
    cat "$from"/usr/lib/firmware/amd-ucode/*.bin >"$microcode/AuthenticAMD.bin"
    make_cpio "$dir/microcode" >"$dir/boot/microcode.cpio"
    rm -rf "$dir/microcode"
}

# A Raspberry Pi has its firmware and the device trees of its boards on the card. Those boards that share the SoC of
# the Zero 2 W are in, because an emulator has one of them (docs/decisions/0019-raspberry-pi-boot.md). The licence has to
# go with the firmware.
base_pi_files() {
    local from=$1 to=$2 board
    mkdir -p "$to"
    cp "$from"/usr/lib/raspi-firmware/{bootcode.bin,start.elf,fixup.dat} "$to/"
    cp "$from/usr/share/doc/raspi-firmware/copyright" "$to/LICENCE.txt"
    for board in zero-2-w 3-a-plus 3-b 3-b-plus; do
        cp "$from"/usr/lib/linux-image-*/broadcom/"bcm2837-rpi-$board.dtb" "$to/"
    done
}

# Debian's modules are packed with xz, which costs a slow machine seconds at every boot; zstd does not.
base_modules() {
    local dir=$1 version kernel drop
    version=$(cat "$dir/boot/kernel-version")
    mkdir -p "$dir/root/usr/lib/modules"
    mv "$dir/unpacked/usr/lib/modules/$version" "$dir/root/usr/lib/modules/"
    kernel=$dir/root/usr/lib/modules/$version/kernel
    while read -r drop; do
        rm -rf "${kernel:?}/$drop"
    done < <(listed drop "$os/modules")
    if [ "$arch" = arm64 ]; then
        module_build "$version" "$dir"
        mv "$dir"/*.ko "$kernel/drivers/firmware/"
    fi
    find "$kernel" -name '*.ko.xz' -print0 | xargs -0 -P2 -n 200 xz -d
    find "$kernel" -name '*.ko' -print0 | xargs -0 -P2 -n 200 zstd -q -12 --rm
    depmod -b "$dir/root/usr" -m /lib/modules "$version"
}

# Firmware is in when a driver that is in asks for it by name.
base_firmware() {
    local dir=$1 version from=$1/unpacked/usr/lib/firmware to=$1/root/usr/lib/firmware name file
    version=$(cat "$dir/boot/kernel-version")
    mkdir -p "$to"
    # Debian's own, which is signed by a key in its kernel; the package's script would make these links
    ln -s regulatory.db-debian "$from/regulatory.db"
    ln -s regulatory.db.p7s-debian "$from/regulatory.db.p7s"
    {
        find "$dir/root/usr/lib/modules/$version/kernel" -name '*.ko.zst' -print0 |
            xargs -0 -n 50 zstd -q -dc | tr '\0' '\n' | LC_ALL=C grep -a '^firmware=' | cut -d= -f2-
        listed firmware "$os/modules"
    } | LC_ALL=C sort -u >"$dir/firmware.txt"
    while IFS= read -r name; do
        # some drivers name a pattern, and some files have spaces in their names
        while IFS= read -r file; do
            mkdir -p "$to/$(dirname "$file")"
            zstd -q -19 -f -o "$to/$file.zst" "$(readlink -f "$from/$file")"
        done < <(cd "$from" && compgen -G "$name")
    done <"$dir/firmware.txt"
}
