//! What is heard on a wire where this library does not serve, in network namespaces of its own. Needs root,
//! iproute2 and busybox.

#![allow(clippy::unwrap_used, clippy::panic)] // in helpers of tests, where Clippy does not see the test

#[path = "common/mod.rs"]
#[allow(dead_code)] // made for the tests of the server
mod common;

use std::time::Duration;

use cairn_netboot::{Bystander, Client, Stage, Story, diagnose};
use common::Cable;

/// Set where this program is started again, inside the namespace.
const INSIDE: &str = "CAIRN_TEST_INSIDE";

#[test]
fn a_machine_that_asks_where_nothing_of_ours_serves_is_heard_all_the_same() {
    if std::env::var_os(INSIDE).is_some() {
        return listen();
    }
    let cable = Cable::new("bystander");
    let this = std::env::current_exe().unwrap();
    let name = "a_machine_that_asks_where_nothing_of_ours_serves_is_heard_all_the_same";
    let inside = cable.server(&[
        "env",
        &format!("{INSIDE}=1"),
        this.to_str().unwrap(),
        "--exact",
        name,
        "--nocapture",
    ]);
    inside.until("listening").unwrap();
    cable.client(&[
        "busybox",
        "udhcpc",
        "-i",
        "eth0",
        "-n",
        "-q",
        "-f",
        "-t",
        "1",
        "-T",
        "1",
        "-s",
        "/bin/true",
    ]);
    let (fine, said) = inside.wait_to_end();
    assert!(fine && said.contains("heard"), "{said}");
}

fn listen() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bystander = Bystander::open("eth0").unwrap();
        let story = Story::new();
        println!("listening");
        let packet = tokio::time::timeout(Duration::from_secs(30), bystander.next()).await.unwrap().unwrap();
        assert_eq!(packet.client, Client::System);
        story.overheard(&packet);
        let machines = story.machines();
        let first = machines.first().unwrap();
        assert_eq!(diagnose(&first.events, 0).unwrap().stage, Stage::AddressOnly);
        println!("heard {}", first.machine);
    });
}
