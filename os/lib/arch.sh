# shellcheck shell=bash
# shellcheck disable=SC2034 # read by os/build and the other stages
# What differs between the architectures, by name: docs/decisions/0018-arm64.md.

# arch_set NAME sets, for x86-64 or arm64:
#   arch       the name, as the manifest has it
#   deb_arch   Debian's name
#   triplet    the folder of the C library's architecture (multiarch)
#   efi        UEFI's suffix of programs
#   loader     the boot loader's file name
arch_set() {
    arch=$1
    case $arch in
        x86-64) deb_arch=amd64 triplet=x86_64-linux-gnu efi=x64 ;;
        arm64) deb_arch=arm64 triplet=aarch64-linux-gnu efi=aa64 ;;
        *) die "unknown architecture $arch: x86-64 or arm64" ;;
    esac
    loader=systemd-boot$efi.efi
}

# listed KIND FILE: the second word of the lines of FILE that are for every architecture or for this one.
listed() { awk -v kind="$1" -v own="$1@$arch" '$1 == kind || $1 == own { print $2 }' "$2"; }
