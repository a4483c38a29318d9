//! The server on a real wire, with real clients, in network namespaces of its own. Needs root, iproute2,
//! busybox, curl, dnsmasq and atftp.

#![allow(clippy::unwrap_used, clippy::panic)] // in helpers of tests, where Clippy does not see the test

#[path = "common/mod.rs"]
#[allow(dead_code)] // the house is another test's
mod common;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use common::{Cable, SERVER, ip};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// More than 65,535 blocks of 512 bytes and of 1,024.
const BIG: usize = 70_000_000;

/// A folder with a file that no block repeats.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut file = File::create(folder.path().join("cairn.efi")).unwrap();
    let mut chunk = Vec::new();
    for number in 0..BIG / 8 {
        chunk.extend_from_slice(&(number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    }
    file.write_all(&chunk).unwrap();
    folder
}

fn small_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cairn.efi"), b"0123456789abcdef").unwrap();
    folder
}

fn digest(path: &Path) -> Vec<u8> {
    Sha256::digest(fs::read(path).unwrap()).to_vec()
}

const QUICK: [&str; 2] = ["--wait", "0.3"];

#[test]
fn a_dhcp_client_gets_an_address_no_default_route_and_its_story_is_told() {
    let (cable, folder) = (Cable::new("dhcp"), small_folder());
    let server = cable.netbootd(folder.path(), &QUICK);
    server.until("running").unwrap();
    let script = folder.path().join("script");
    fs::write(&script, "#!/bin/sh\necho \"$1 ip=$ip router=$router subnet=$subnet lease=$lease\"\n").unwrap();
    std::process::Command::new("chmod").arg("+x").arg(&script).status().unwrap();
    let script = script.to_str().unwrap();
    let said = cable.client_ok(&["busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-s", script]);
    let (_, bound) = said.split_once("bound ip=10.77.0.").expect("an address of the cable's");
    let (last, rest) = bound.split_once(' ').unwrap();
    assert!((100..=199).contains(&last.parse::<u8>().unwrap()), "{said}");
    assert!(rest.starts_with("router= subnet=255.255.255.0 lease=600"), "{said}");
    for what in ["discover", "offer", "request", "ack"] {
        server.until(&format!("\"message\":\"{what}\"")).unwrap();
    }
    server.stop();
}

#[test]
fn a_file_of_70_mb_arrives_whole_by_tftp_and_http_in_little_memory() {
    let (cable, folder) = (Cable::new("files"), folder());
    let server = cable.netbootd(folder.path(), &QUICK);
    server.until("running").unwrap();
    cable.client_address("10.77.0.9/24");
    let got = folder.path().join("got");
    let (out, whole) = (got.to_str().unwrap(), digest(&folder.path().join("cairn.efi")));
    let tftp = format!("tftp://{SERVER}/cairn.efi");
    let http = format!("http://{SERVER}:4280/cairn.efi");
    let window = "--option=windowsize 16";
    let fetches: [&[&str]; 5] = [
        // 136,719 blocks: the block number rolls over twice.
        &["curl", "-sS", "--tftp-blksize", "512", "-o", out, &tftp],
        &["curl", "-sS", "--tftp-blksize", "1468", "-o", out, &tftp],
        &["curl", "-sS", "--tftp-no-options", "-o", out, &tftp],
        &["atftp", "--get", "--option=blksize 1468", window, "-r", "cairn.efi", "-l", out, SERVER],
        &["curl", "-sS", "-o", out, &http],
    ];
    for fetch in fetches {
        cable.client_ok(fetch);
        assert_eq!(digest(&got), whole, "{fetch:?}");
        fs::remove_file(&got).unwrap();
        server.until("fetch_done").unwrap();
    }
    // An optimised build is far below; what counts is that no file is held in memory.
    assert!(server.memory_kib() < 40_000, "{} KiB", server.memory_kib());
    server.stop();
}

#[test]
fn windows_arrive_whole_where_the_kernel_does_not_take_several_blocks_at_once() {
    let (cable, folder) = (Cable::new("mtu"), tempfile::tempdir().unwrap());
    let content: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 5) as u8).collect();
    fs::write(folder.path().join("cairn.efi"), &content).unwrap();
    // Less than a block, so that each goes in fragments.
    assert!(ip(cable.server_end(), "link set eth0 mtu 1300").success());
    let server = cable.netbootd(folder.path(), &QUICK);
    server.until("running").unwrap();
    cable.client_address("10.77.0.9/24");
    let got = folder.path().join("got");
    let options = ["--option=blksize 1468", "--option=windowsize 16"];
    let names = ["-r", "cairn.efi", "-l", got.to_str().unwrap(), SERVER];
    cable.client_ok(&[&["atftp", "--get"], &options[..], &names].concat());
    assert!(fs::read(&got).unwrap() == content);
    server.stop();
}

#[test]
fn http_serves_ranges_and_lengths_of_the_named_files_and_nothing_else() {
    let (cable, folder) = (Cable::new("http"), small_folder());
    let server = cable.netbootd(folder.path(), &QUICK);
    server.until("running").unwrap();
    cable.client_address("10.77.0.9/24");
    let url = |path: &str| format!("http://{SERVER}:4280/{path}");
    let curl = |words: &[&str]| cable.client_ok(&[&["curl", "-sS", "--path-as-is"], words].concat());
    assert_eq!(curl(&["-r", "4-7", &url("cairn.efi")]), "4567");
    let head = curl(&["-I", &url("cairn.efi")]).to_lowercase();
    assert!(head.contains("200 ok") && head.contains("content-length: 16"), "{head}");
    // As EDK2's HTTP boot does: first the length, then the file, over one connection.
    let told = ["-o", "/dev/null", "-w", "%{num_connects} %{http_code} "];
    let (one, other) = (url("cairn.efi"), url("cairn.efi"));
    let twice = [&["-I"], &told[..], &[&one, "--next", "-sS"], &told[..], &[&other]].concat();
    assert_eq!(curl(&twice), "1 200 0 200 ");
    let beyond = curl(&["-i", "-r", "90-99", &url("cairn.efi")]);
    assert!(beyond.contains("416"), "{beyond}");
    let code = |path: &str| curl(&["-o", "/dev/null", "-w", "%{http_code}", &url(path)]);
    for path in ["../../../etc/passwd", "%2e%2e/etc/passwd", "/etc/passwd", "", "cairn.efi/", "etc/passwd"] {
        assert_eq!(code(path), "404", "{path}");
    }
    assert!(server.until("fetch_refused").unwrap().contains("etc/passwd"));
    let put = ["-X", "PUT", "--data", "x", "-o", "/dev/null", "-w", "%{http_code}", &url("cairn.efi")];
    assert_eq!(curl(&put), "405");
    server.stop();
}

#[test]
fn tftp_refuses_other_files_writing_and_text_mode_and_ends_when_the_client_does() {
    let (cable, folder) = (Cable::new("tftp"), folder());
    let server = cable.netbootd(folder.path(), &QUICK);
    server.until("running").unwrap();
    cable.client_address("10.77.0.9/24");
    for name in ["../../../../etc/passwd", "/etc/passwd", "x"] {
        let url = format!("tftp://{SERVER}//{name}");
        let output = cable.client(&["curl", "-sS", "--path-as-is", "-o", "/dev/null", &url]);
        assert_eq!(output.status.code(), Some(68), "curl says that the file is not found: {output:?}");
        server.until("no such file is served").unwrap();
    }
    let upload = cable.client(&["curl", "-sS", "-T", "/etc/hostname", &format!("tftp://{SERVER}/x")]);
    assert!(!upload.status.success());
    server.until("nothing can be written here").unwrap();
    cable.client(&["curl", "-sS", "-o", "/dev/null", &format!("tftp://{SERVER}/cairn.efi;mode=ascii")]);
    server.until("octet").unwrap();
    // A client that is gone after a moment: its closed port ends the transfer at once.
    cable.client(&[
        "timeout",
        "-s",
        "KILL",
        "0.3",
        "curl",
        "-sS",
        "-o",
        "/dev/null",
        &format!("tftp://{SERVER}/cairn.efi"),
    ]);
    assert!(server.until("fetch_aborted").unwrap().contains("closed its port"));
    server.stop();
}

#[test]
fn the_server_does_not_start_beside_another_one_and_names_it() {
    let (cable, folder) = (Cable::new("beside"), small_folder());
    let router = cable.router();
    router.until("DHCP").unwrap();
    let (fine, said) = cable.netbootd(folder.path(), &["--wait", "5"]).wait_to_end();
    assert!(!fine && !said.contains("\"running\""), "{said}");
    assert!(said.contains("another DHCP server, 192.168.1.1 (") && said.contains("on eth0"), "{said}");
    assert!(!cable.server_addresses().contains(SERVER), "nothing is left on the interface");
}

#[test]
fn the_server_stops_when_another_one_appears_and_is_found_by_the_probe() {
    let (cable, folder) = (Cable::new("appears"), small_folder());
    let server = cable.netbootd(folder.path(), &["--wait", "0.3", "--every", "0.5"]);
    server.until("running").unwrap();
    let _router = cable.router();
    let stopped = server.until("\"what\":\"stopped\"").unwrap();
    assert!(stopped.contains("192.168.1.1") && stopped.contains("has appeared on eth0"), "{stopped}");
    assert!(!server.wait_to_end().0);
    assert!(!cable.server_addresses().contains(SERVER));
}

#[test]
fn the_server_stops_within_one_exchange_of_a_client_that_another_one_serves() {
    let (cable, folder) = (Cable::new("exchange"), small_folder());
    // The timer alone would take an hour.
    let server = cable.netbootd(folder.path(), &["--wait", "0.3", "--every", "3600"]);
    server.until("running").unwrap();
    let router = cable.router();
    router.until("DHCP").unwrap();
    // The client asks for the router's network, so one of the two ways must show the router: the request
    // that names it, or the question that ours asks when it hears the client's.
    let udhcpc = ["busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "3", "-s", "/bin/true"];
    cable.client(&udhcpc);
    assert!(server.until("\"what\":\"stopped\"").unwrap().contains("192.168.1.1"));
}

#[test]
fn who_is_carried_to_a_router_together_with_the_server_gets_no_address_of_the_cable() {
    let (cable, folder) = (Cable::new("carried"), small_folder());
    let server = cable.netbootd(folder.path(), &["--wait", "1", "--every", "3600"]);
    server.until("running").unwrap();
    let udhcpc = ["busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "2", "-s", "/bin/true"];
    cable.client_ok(&udhcpc);
    cable.client_ok(&["ip", "link", "set", "eth0", "down"]);
    cable.client_ok(&["ip", "link", "set", "eth0", "up"]);
    let router = cable.router();
    router.until("DHCP").unwrap();
    // It sees the server's question and not its own end's, so without one the client would get its address again.
    assert!(!cable.client(&udhcpc).status.success());
    assert!(server.until("\"what\":\"stopped\"").unwrap().contains("192.168.1.1"));
}

#[test]
fn a_cable_that_is_plugged_in_again_leads_to_the_same_server() {
    let (cable, folder) = (Cable::new("again"), small_folder());
    let server = cable.netbootd(folder.path(), &QUICK);
    server.until("running").unwrap();
    for state in ["down", "up"] {
        cable.client_ok(&["ip", "link", "set", "eth0", state]);
    }
    let udhcpc =
        ["busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "1", "-T", "3", "-s", "/bin/true"];
    cable.client_ok(&udhcpc);
    server.stop();
}

#[test]
fn a_server_on_a_bridge_of_the_same_machine_is_found_though_the_interface_has_an_address() {
    let (cable, folder) = (Cable::new("bridge"), small_folder());
    let router = cable.router_on_a_bridge_beside_us();
    router.until("DHCP").unwrap();
    let server = cable.netbootd_on("mgr0", folder.path(), &["--wait", "5"]);
    let refused = server.until("another DHCP server").unwrap();
    assert!(refused.contains("192.168.1.1 (") && refused.contains("on mgr0"), "{refused}");
}

#[test]
fn a_killed_servers_address_is_taken_over_and_somebody_elses_is_left_alone() {
    let (cable, folder) = (Cable::new("link"), small_folder());
    cable.server_address("192.168.7.7/24");
    let server = cable.netbootd(folder.path(), &QUICK);
    server.until("running").unwrap();
    server.kill();
    assert!(cable.server_addresses().contains("10.77.0.1/24"));
    let again = cable.netbootd(folder.path(), &QUICK);
    again.until("running").unwrap();
    again.stop();
    assert!(!cable.server_addresses().contains("10.77.0.1/24"), "it was ours, so it is taken");
    cable.server_address("10.77.0.1/24");
    let third = cable.netbootd(folder.path(), &QUICK);
    third.until("running").unwrap();
    third.stop();
    let left = cable.server_addresses();
    assert!(left.contains("10.77.0.1/24") && left.contains("192.168.7.7/24"), "{left}");
}

#[test]
fn a_port_that_is_taken_is_named_in_the_error() {
    let (cable, folder) = (Cable::new("taken"), small_folder());
    let first = cable.netbootd(folder.path(), &QUICK);
    first.until("running").unwrap();
    let (fine, said) = cable.netbootd(folder.path(), &QUICK).wait_to_end();
    assert!(!fine && said.contains("UDP port 67 (DHCP) on eth0"), "{said}");
    first.stop();
}
