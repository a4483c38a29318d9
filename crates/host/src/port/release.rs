//! The command that makes a process let go of its port.

use super::Protocol;
use std::fs;
use std::path::Path;

/// Where libvirt keeps the configurations of the dnsmasq that it starts for each of its networks.
const LIBVIRT: &str = "/libvirt/dnsmasq/";

/// What tells how a process was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: u32,
    pub name: String,
    arguments: Vec<String>,
    /// The systemd unit that it belongs to.
    unit: Option<String>,
}

impl Process {
    pub(super) fn look(pid: u32) -> Self {
        let folder = Path::new("/proc").join(pid.to_string());
        let read = |file: &str| {
            let bytes = fs::read(folder.join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let arguments = read("cmdline").split('\0').map(str::to_owned).collect();
        Self { pid, name: read("comm").trim().to_owned(), arguments, unit: unit(&read("cgroup")) }
    }

    /// What to type, as a person with the right to do it.
    pub fn release(&self) -> String {
        // Stopping the unit that started libvirt's dnsmasq would end the virtual machines' manager instead.
        if let Some(network) = self.arguments.iter().find_map(|word| libvirt_network(word)) {
            return format!("virsh net-destroy {network}");
        }
        match &self.unit {
            Some(unit) => format!("systemctl stop {unit}"),
            None => format!("kill {}", self.pid),
        }
    }
}

/// For a holder that this program may not see: it belongs to somebody else, or lies outside the container.
pub(super) fn find(protocol: Protocol, port: u16) -> String {
    let table = match protocol {
        Protocol::Udp => "-lunp",
        Protocol::Tcp => "-ltnp",
    };
    format!("sudo ss {table} 'sport = :{port}'")
}

/// `--conf-file=/var/lib/libvirt/dnsmasq/default.conf` is the network `default`.
fn libvirt_network(argument: &str) -> Option<&str> {
    let (_, file) = argument.rsplit_once(LIBVIRT)?;
    file.strip_suffix(".conf").filter(|name| is_plain(name))
}

/// The last service that is named in a `/proc/PID/cgroup`. A user's own session is no unit to stop.
fn unit(cgroups: &str) -> Option<String> {
    let path = cgroups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .find(|path| path.contains(".service"))?;
    let unit = path.rsplit('/').find(|part| part.ends_with(".service"))?;
    let of_a_user = path.contains("/user.slice/");
    (is_plain(unit) && !of_a_user).then(|| unit.to_owned())
}

/// What may stand in a command that a person copies into a root shell: nothing that a shell reads.
fn is_plain(word: &str) -> bool {
    let first = word.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    first && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn process(arguments: &[&str], cgroup: &str) -> Process {
        let arguments = arguments.iter().map(|&word| word.to_owned()).collect();
        Process { pid: 812, name: "x".into(), arguments, unit: unit(cgroup) }
    }

    #[test]
    fn the_usual_holders_are_freed_by_their_own_command() {
        let libvirt = "--conf-file=/var/lib/libvirt/dnsmasq/default.conf";
        let cases: [(&[&str], &str, &str); 8] = [
            (
                &["/usr/sbin/dnsmasq", libvirt],
                "0::/system.slice/libvirtd.service\n",
                "virsh net-destroy default",
            ),
            (&["dnsmasq"], "0::/system.slice/dnsmasq.service\n", "systemctl stop dnsmasq.service"),
            (
                &["dhcpd"],
                "12:pids:/x\n1:name=systemd:/system.slice/isc-dhcp-server.service\n",
                "systemctl stop isc-dhcp-server.service",
            ),
            (&["in.tftpd"], "0::/system.slice/tftpd-hpa.service", "systemctl stop tftpd-hpa.service"),
            (
                &["systemd-resolve"],
                "0::/system.slice/systemd-resolved.service",
                "systemctl stop systemd-resolved.service",
            ),
            (
                &["python3"],
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service",
                "kill 812",
            ),
            (&["x"], "0::/system.slice/$(reboot).service", "kill 812"),
            (&["x", "--conf-file=/var/lib/libvirt/dnsmasq/a;b.conf"], "", "kill 812"),
        ];
        for (arguments, cgroup, expected) in cases {
            assert_eq!(process(arguments, cgroup).release(), expected);
        }
    }

    proptest! {
        #[test]
        fn whatever_a_process_calls_itself_the_command_is_harmless_in_a_shell(
            argument in "(\\PC|/libvirt/dnsmasq/|\\.conf){0,60}", cgroup in "(\\PC|0::/|\\.service|\\n){0,80}",
        ) {
            let command = process(&[&argument], &cgroup).release();
            prop_assert!(command.split(' ').all(|word| word.is_empty() || is_plain(word)), "{}", command);
        }
    }
}
