//! What reaches a machine from outside: systemd takes credentials from SMBIOS strings (type 11) in a virtual machine,
//! and units from credentials, see systemd.system-credentials(7) and systemd-debug-generator(8).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::exec;
use crate::spec::{InjectedUnit, MachineSpec};

/// The SMBIOS strings of a machine, one per credential.
pub(crate) fn credentials(spec: &MachineSpec) -> Vec<String> {
    let own = spec.exec.then(exec::guest_unit);
    let units: Vec<&InjectedUnit> = spec.injected.iter().chain(own.as_ref()).collect();
    let mut strings: Vec<String> = units
        .iter()
        .map(|unit| credential(&format!("systemd.extra-unit.{}", unit.name), &unit.text))
        .collect();
    // One drop-in per target: a credential has one name and a name one value.
    let mut targets: Vec<&str> = units.iter().map(|unit| unit.wanted_by.as_str()).collect();
    targets.sort_unstable();
    targets.dedup();
    for target in targets {
        let wants: Vec<&str> =
            units.iter().filter(|unit| unit.wanted_by == target).map(|unit| unit.name.as_str()).collect();
        let text = format!("[Unit]\nWants={}\n", wants.join(" "));
        strings.push(credential(&format!("systemd.unit-dropin.{target}"), &text));
    }
    strings
}

fn credential(name: &str, value: &str) -> String {
    format!("io.systemd.credential.binary:{name}={}", STANDARD.encode(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_a_credential_and_its_target_wants_them_all() {
        let mut spec = MachineSpec::netboot("a", 512);
        spec.injected =
            vec![InjectedUnit::new("one.service", "[Service]"), InjectedUnit::new("two.service", "x")];
        let strings = credentials(&spec);
        assert_eq!(strings.len(), 3);
        assert_eq!(strings[0], "io.systemd.credential.binary:systemd.extra-unit.one.service=W1NlcnZpY2Vd");
        let dropin =
            strings[2].strip_prefix("io.systemd.credential.binary:systemd.unit-dropin.multi-user.target=");
        let text = STANDARD.decode(dropin.unwrap()).unwrap();
        assert_eq!(text, b"[Unit]\nWants=one.service two.service\n");
    }

    #[test]
    fn a_machine_without_injection_gets_no_credential() {
        assert!(credentials(&MachineSpec::netboot("a", 512)).is_empty());
    }
}
