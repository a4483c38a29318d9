# shellcheck shell=bash
# shellcheck disable=SC2154 # $os and $root are set by os/build, which sources this
# Stage 3: the initrd, from the base tree's own files (docs/decisions/0002-initrd.md says why).
#
# initrd_build BASE OUT makes OUT, a zstd-compressed cpio without what changes with each build. That follows
# as a second archive (initrd_agent), so that a change of the agent alone is quick.

initrd_build() {
    local base=$1 out=$2 work=$2.work tree=$1/root
    rm -rf "$work"
    mkdir -p "$work"/{usr/bin,usr/sbin,"usr/lib/$triplet",usr/lib64,etc,dev,proc,sys,run,tmp,var,sysroot,root}
    ln -s usr/bin "$work/bin"
    ln -s usr/sbin "$work/sbin"
    ln -s usr/lib "$work/lib"
    ln -s usr/lib64 "$work/lib64"
    ln -s usr/lib/systemd/systemd "$work/init"
    ln -s ../run "$work/var/run"
    initrd_files "$tree" "$work"
    initrd_modules "$tree" "$work" "$(cat "$base/boot/kernel-version")"
    initrd_accounts "$tree" "$work"
    copy_overlay "$os/tree/both" "$work"
    copy_overlay "$os/tree/initrd" "$work"
    enable_units initrd "$work"
    make_cpio "$work" | zstd -q -T0 -19 >"$out"
    rm -rf "$work"
}

# initrd_agent AGENT VERSION OUT: the agent and the image's version as an archive to lay over the initrd.
initrd_agent() {
    local work=$3.work
    rm -rf "$work"
    install -D -m 755 "$1" "$work/usr/bin/cairn-agent"
    install -d "$work/etc"
    echo "$2" >"$work/etc/cairn-version"
    make_cpio "$work" | zstd -q -19 >"$3"
    rm -rf "$work"
}

initrd_files() {
    local tree=$1 work=$2 name libraries
    local -a programs=()
    while read -r name; do
        copy_with_links "$tree" "$work" "$name"
        ! head -c 4 "$tree$name" | grep -q ELF || programs+=("$name")
    done < <(sed -n "s,TRIPLET,$triplet,; /^\//p" "$os/initrd-files")
    libraries=$(initrd_libraries "$tree" "${programs[@]}")
    while read -r name; do
        copy_with_links "$tree" "$work" "$name"
    done <<<"$libraries"
    copy_with_links "$tree" "$work" /usr/lib/os-release
    ln -s ../usr/lib/os-release "$work/etc/os-release"
    ln -s os-release "$work/etc/initrd-release"
    mkdir -p "$work/usr/lib/modprobe.d"
    cp "$tree"/usr/lib/modprobe.d/*.conf "$work/usr/lib/modprobe.d/"
}

# initrd_libraries TREE PROGRAM...: what these are linked with, and what that is linked with. Read and not asked of the
# loader, which runs on its own architecture only.
initrd_libraries() {
    local tree=$1 file name folder
    local -A seen=()
    shift
    local -a queue=("$@")
    while [ ${#queue[@]} -gt 0 ]; do
        file=${queue[0]} queue=("${queue[@]:1}")
        while read -r name; do
            # the loader is named by its path
            for folder in '' "/usr/lib/$triplet/" "/usr/lib/$triplet/systemd/" "/usr/lib/$triplet/cryptsetup/"; do
                [ ! -e "$tree$folder$name" ] || break
            done
            [ -e "$tree$folder$name" ] || die "the base tree has no library $name, which $file is linked with"
            [ -z "${seen[$name]:-}" ] || continue
            seen[$name]=1
            name=$folder$name
            case $name in /lib*) name=/usr$name ;; esac
            echo "$name"
            queue+=("$name")
        done < <(readelf --wide --dynamic --program-headers "$tree$file" 2>/dev/null |
            sed -n -e 's/.*(NEEDED).*\[\(.*\)\]$/\1/p' -e 's/.*program interpreter: \(.*\)\]$/\1/p')
    done
}

# copy_with_links TREE WORK PATH: PATH and, where it is a link, all that it leads to.
copy_with_links() {
    local tree=$1 work=$2 name=$3 target
    while [ ! -e "$work$name" ] && [ ! -L "$work$name" ]; do
        [ -e "$tree$name" ] || [ -L "$tree$name" ] || die "os/initrd-files: the base tree has no $name"
        mkdir -p "$work$(dirname "$name")"
        cp -a "$tree$name" "$work$name"
        [ -L "$tree$name" ] || break
        target=$(readlink "$tree$name")
        case "$target" in
            /*) name=$target ;;
            *) name=$(realpath -ms "/$(dirname "$name")/$target") ;;
        esac
    done
}

initrd_modules() {
    local tree=$1 work=$2 version=$3 from module firmware
    from=$tree/usr/lib/modules/$version
    mkdir -p "$work/usr/lib/modules/$version"
    cp "$from"/modules.{builtin,builtin.modinfo,order} "$work/usr/lib/modules/$version/"
    initrd_module_list "$from" >"$work.modules"
    (cd "$from" && xargs cp --parents -t "$work/usr/lib/modules/$version" <"$work.modules")
    depmod -b "$work/usr" -m /lib/modules "$version"
    rm -f "$work/usr/lib/modules/$version"/modules.{dep,alias,symbols}
    while read -r firmware; do
        # shellcheck disable=SC2086 # some drivers name a pattern
        for firmware in $(cd "$tree/usr/lib/firmware" && ls -d ${firmware}.zst 2>/dev/null); do
            install -D -m 644 "$tree/usr/lib/firmware/$firmware" "$work/usr/lib/firmware/$firmware"
        done
    done < <(while read -r module; do zstd -q -dc "$from/$module"; done <"$work.modules" |
        tr '\0' '\n' | grep -a '^firmware=' | cut -d= -f2- | sort -u)
    rm -f "$work.modules"
}

# The modules that os/modules names, with all that they depend on, as paths.
initrd_module_list() {
    local from=$1
    listed initrd "$os/modules" | awk '
        # modules.dep: "path: path path"; a module is also found by its name, with - and _ alike.
        # modules.builtin: "path", nothing to copy
        FILENAME ~ /builtin$/ {
            name = $1; sub(/.*\//, "", name); sub(/\.ko.*/, "", name); gsub(/-/, "_", name)
            builtin[name]
            next
        }
        FILENAME ~ /dep$/ {
            path = $1; sub(/:$/, "", path)
            name = path; sub(/.*\//, "", name); sub(/\.ko.*/, "", name); gsub(/-/, "_", name)
            byname[name] = path
            line = ""; for (i = 2; i <= NF; i++) line = line " " $i
            deps[path] = line
            next
        }
        /\/$/ { for (path in deps) if (index(path, "kernel/" $0) == 1) want[path]; next }
        {
            name = $0; gsub(/-/, "_", name)
            if (name in builtin) next
            if (name in byname) want[byname[name]]
            else print "image: os/modules: no module " $0 >"/dev/stderr"
        }
        END {
            for (path in want) {
                print path
                n = split(deps[path], list, " "); for (i = 1; i <= n; i++) print list[i]
            }
        }' "$from/modules.builtin" "$from/modules.dep" - | sort -u
}

initrd_accounts() {
    cp "$1"/etc/{passwd,group,nsswitch.conf} "$2/etc/"
    sed -i 's,:/bin/bash$,:/usr/sbin/nologin,' "$2/etc/passwd"
}
