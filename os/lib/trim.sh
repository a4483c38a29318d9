# shellcheck shell=bash
# Takes out of the base tree what a running node never needs, and what would differ between two builds.

base_trim() {
    local tree=$1 package
    # Package tools: a node's packages change by a new image only.
    for package in dpkg perl-base debconf tar adduser sysvinit-utils init-system-helpers libdebconfclient0 \
        libperl5.40 login.defs passwd libc-l10n diffutils; do
        trim_package "$tree" "$package"
    done
    rm -rf "$tree"/usr/share/{doc,man,locale,info,lintian,bash-completion,zsh,bug,perl5,perl,debconf,pixmaps,menu} \
        "$tree"/usr/share/{applications,initramfs-tools,polkit-1,dbus-1,common-licenses,doc-base,base-files} \
        "$tree"/usr/lib/{valgrind,sysusers.d,kernel,dracut,apt,dpkg,locale/C.utf8/LC_COLLATE.bak} \
        "$tree"/usr/lib/x86_64-linux-gnu/{perl-base,gconv,engines-3} \
        "$tree"/usr/lib/udev/hwdb.d "$tree"/usr/lib/udev/hwdb.bin \
        "$tree"/usr/lib/systemd/{user,user-preset,user-generators,catalog,system-preset} \
        "$tree"/etc/{apt,dpkg,cron.d,cron.daily,init.d,rc?.d,logrotate.d,skel,update-motd.d,kernel,ca-certificates} \
        "$tree"/etc/{passwd-,group-,shadow-,gshadow-,subuid,subgid,.pwd.lock,ld.so.cache.bak,motd,fstab,modules} \
        "$tree"/etc/{hostname,resolv.conf,vconsole.conf,default,ssh,xdg,X11,terminfo} \
        "$tree"/etc/iscsi/initiatorname.iscsi "$tree"/etc/nvme/{hostid,hostnqn}
    find "$tree/etc/systemd/system" -mindepth 1 -delete
    trim_systemd "$tree"
    find "$tree/usr/lib/tmpfiles.d" -type f ! -name systemd.conf ! -name systemd-tmp.conf ! -name tmp.conf \
        ! -name var.conf ! -name static-nodes-permissions.conf -delete
    find "$tree/usr/lib/systemd/network" -type f ! -name '*.link' -delete
    # What / has to have as empty mount points; everything else is made on the data partition.
    rm -rf "$tree"/{var,boot,home,media,srv,tmp,run,dev,proc,sys,root}
    mkdir -p "$tree"/{var,tmp,run,dev,proc,sys,root,efi}
    chmod 1777 "$tree/tmp"
    chmod 700 "$tree/root"
    find "$tree" -xdev -name '__pycache__' -prune -exec rm -rf {} +
}

trim_package() {
    local list name
    for list in "$1/var/lib/dpkg/info/$2.list" "$1"/var/lib/dpkg/info/"$2":*.list; do
        [ -e "$list" ] || continue
        while read -r name; do
            [ -d "$1$name" ] && [ ! -L "$1$name" ] || rm -f "$1$name"
        done <"$list"
    done
}

# Generators run at each boot and each reload; a node has no use for these. Nobody logs in, so there is
# nothing that asks, either. systemd-debug-generator stays: it is what reads the units that a virtual
# machine's owner injects from outside.
trim_systemd() {
    local units=$1/usr/lib/systemd/system generators=$1/usr/lib/systemd/system-generators name
    for name in cryptsetup getty gpt-auto hibernate-resume integritysetup rc-local run ssh system-update \
        sysv tpm2 bless-boot; do
        rm -f "$generators/systemd-$name-generator"
    done
    rm -f "$units"/{debug-shell,getty@,serial-getty@,console-getty,container-getty@,getty-static}.service \
        "$units"/{emergency,rescue,quotaon,quotacheck}.service "$units"/systemd-{bsod,logind,firstboot}.service \
        "$units"/systemd-{networkd-persistent-storage,udev-load-credentials}.service
    rm -rf "$units"/{multi-user,sysinit,timers,sockets,local-fs,getty,graphical,rescue,initrd,initrd-root-device}.target.wants \
        "$units"/*.target.requires
}
