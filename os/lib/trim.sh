# shellcheck shell=bash
# shellcheck disable=SC2154 # $os and $root are set by os/build, which sources this
# Takes out of the base tree what a running node never needs, and what would differ between two builds.

base_trim() {
    local tree=$1 package
    # Package tools: a node's packages change by a new image only.
    for package in dpkg perl-base debconf libdebconfclient0 tar adduser passwd diffutils sysvinit-utils \
        init-system-helpers; do
        trim_package "$tree" "$package"
    done
    rm -f "$tree/usr/sbin/update-passwd"
    rm -rf "$tree"/usr/share/{doc,man,locale,info,lintian,bash-completion,zsh,bug,perl5,perl,debconf,pixmaps,menu} \
        "$tree"/usr/share/{applications,initramfs-tools,polkit-1,dbus-1,common-licenses,doc-base,base-files} \
        "$tree"/usr/lib/{valgrind,sysusers.d,kernel,dracut,apt,dpkg} \
        "$tree"/usr/lib/"$triplet"/{perl-base,gconv,engines-3} \
        "$tree"/usr/lib/udev/hwdb.d "$tree"/usr/lib/udev/hwdb.bin \
        "$tree"/usr/lib/systemd/{user,user-preset,user-generators,catalog,system-preset} \
        "$tree"/etc/{apt,dpkg,cron.d,cron.daily,init.d,rc?.d,logrotate.d,skel,update-motd.d,kernel,ca-certificates} \
        "$tree"/etc/{passwd-,group-,shadow-,gshadow-,subuid,subgid,.pwd.lock,motd,fstab,modules} \
        "$tree"/etc/{hostname,resolv.conf,vconsole.conf,default,ssh,xdg,X11,terminfo} \
        "$tree"/etc/iscsi/initiatorname.iscsi "$tree"/etc/nvme/{hostid,hostnqn} \
        "$tree"/etc/{wpa_supplicant,network,dbus-1} "$tree"/usr/sbin/wpa_cli "$tree"/usr/bin/wpa_passphrase \
        "$tree"/usr/lib/systemd/system/wpa_supplicant*
    find "$tree/etc/systemd/system" -mindepth 1 -delete
    trim_systemd "$tree"
    find "$tree/usr/lib/tmpfiles.d" -type f ! -name systemd.conf ! -name systemd-tmp.conf ! -name tmp.conf \
        ! -name var.conf ! -name static-nodes-permissions.conf -delete
    # Rules for seats, sound, cameras and the like: each device of each boot would go through them.
    rm -f "$tree"/usr/lib/udev/rules.d/{60-autosuspend,60-cdrom_id,60-drm,60-evdev,60-fido-id,60-infiniband}.rules \
        "$tree"/usr/lib/udev/rules.d/{60-input-id,60-persistent-alsa,60-persistent-input,60-persistent-v4l}.rules \
        "$tree"/usr/lib/udev/rules.d/{60-persistent-storage-mtd,60-persistent-storage-tape,60-sensor}.rules \
        "$tree"/usr/lib/udev/rules.d/{70-camera,70-joystick,70-mouse,70-power-switch,70-touchpad,70-uaccess}.rules \
        "$tree"/usr/lib/udev/rules.d/{71-seat,73-seat-late,75-probe_mtd,78-sound-card,96-e2scrub}.rules
    find "$tree/usr/lib/systemd/network" -type f ! -name '*.link' -delete
    # What / has to have as empty mount points; everything else is made on the data partition.
    rm -rf "${tree:?}"/{var,boot,home,media,srv,tmp,run,dev,proc,sys,root}
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
            if [ ! -d "$1$name" ] || [ -L "$1$name" ]; then
                rm -f "$1$name"
            fi
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
