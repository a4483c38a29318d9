//! The same with every word that comes from outside trying to be markup.

use crate::api::Status;
use crate::network::types::NetworkReport;
use crate::web::media::MediaView;
use cairn_host::usb_boot::WaitingBoard;
use cairn_model::inventory::{DiskContent, Inventory};
use cairn_model::phase::Condition;

pub const HOSTILE: &str = "<script>alert(1)</script>\"'&";

pub fn status() -> Status {
    let mut status = super::evening(1);
    let text = || HOSTILE.to_owned();
    for node in &mut status.nodes {
        node.conditions.push(Condition::fault(HOSTILE));
        node.version = Some(text());
        node.inventory.iter_mut().for_each(taint);
        for service in node.vitals.iter_mut().flat_map(|vitals| &mut vitals.told.services) {
            (service.unit, service.detail) = (text(), text());
        }
        for row in node.job.iter_mut().flat_map(|job| &mut job.rows) {
            (row.title, row.note) = (text(), Some(text()));
        }
    }
    for machine in &mut status.machines {
        (machine.unfit, machine.suggested_because) = (machine.code.is_none().then(text), Some(text()));
        (machine.product, machine.claims, machine.refused) = (text(), Some(text()), Some(text()));
        machine.inventory.iter_mut().for_each(taint);
    }
    for member in &mut status.etcd.members {
        member.error = Some(text());
    }
    (status.network.message, status.network.address_error) = (text(), Some(text()));
    status.unhealthy_because = vec![text()];
    status
}

fn taint(inventory: &mut Inventory) {
    let text = || HOSTILE.to_owned();
    (inventory.cpu.model, inventory.architecture) = (text(), text());
    for (number, disk) in inventory.disks.iter_mut().enumerate() {
        // two disks of a machine never have one id
        (disk.id, disk.model) = (format!("{HOSTILE} {number}"), text());
        disk.content = DiskContent::Holds(text());
    }
}

pub fn wire() -> NetworkReport {
    let mut report = super::wire();
    let text = || HOSTILE.to_owned();
    for machine in &mut report.machines {
        (machine.architecture, machine.diagnosis) = (Some(text()), text());
        for line in &mut machine.story {
            line.text = text();
        }
        if let Some(fetch) = &mut machine.fetch {
            fetch.file = text();
        }
    }
    if let Some(scan) = &mut report.last_scan {
        scan.machines.iter_mut().for_each(|machine| machine.name = Some(text()));
    }
    for holder in report.ports.iter_mut().flat_map(|port| &mut port.holders) {
        (holder.process, holder.command) = (Some(text()), Some(text()));
    }
    (report.sentence, report.hidden, report.troubles) = (text(), Some(text()), vec![text()]);
    report
}

pub fn media() -> MediaView {
    let mut view = super::media();
    for (number, disk) in view.disks.iter_mut().enumerate() {
        (disk.id, disk.product) = (format!("{HOSTILE} {number}"), HOSTILE.into());
        disk.refused = Some(HOSTILE.into());
    }
    for board in &mut view.boards {
        *board = WaitingBoard { port: HOSTILE.into(), models: HOSTILE.into(), advice: HOSTILE.into() };
    }
    view
}
