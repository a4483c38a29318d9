//! How fast the cluster's page is, how soon a change is shown, and what the manager holds in memory. Printed for
//! `docs/benchmarks.md`, and never asserted.

use super::tests::{Site, get, text};
use crate::api::Status;
use crate::simulation::Agent;
use crate::web::sample;
use axum::http::{StatusCode, header};
use cairn_model::phase::Phase;
use cairn_vault::join::Onto;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// As many as a cluster file holds for certain, each a machine over real TLS.
const ETCD: u8 = 3;
const COMPUTE: u8 = 12;
const LOOKS: usize = 50;

/// Of this process, in bytes: proc_pid_status(5).
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Looks at the cluster's page again and again.
async fn look(site: &Site, nodes: usize) {
    let mut looks = Vec::new();
    let mut bytes = 0;
    for _ in 0..LOOKS {
        let began = Instant::now();
        let answer = site.send(get("/cluster").header(header::COOKIE, site.cookie()), "").await;
        assert_eq!(answer.status(), StatusCode::OK);
        bytes = text(answer).await.len();
        looks.push(began.elapsed());
    }
    looks.sort();
    let milliseconds = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    let (middle, slowest) = (milliseconds(looks[LOOKS / 2]), milliseconds(looks[LOOKS - 1]));
    println!("| cluster page of {nodes} nodes, {} kB, middle of {LOOKS} | {middle} | 100 ms |", bytes / 1000);
    println!("| the slowest of these | {slowest} | 100 ms |");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, which `make bench` takes"]
async fn pages_and_memory_of_a_large_cluster() {
    let site = Site::with_places(ETCD, COMPUTE);
    let file = site.lab.core.book.file();
    let mut agents = Vec::new();
    for node in &file.cluster().nodes {
        let medium =
            file.keyring().join_material(&node.name, Uuid::new_v4(), u64::MAX, Onto::Medium).unwrap();
        let agent = Agent::blank(Some(medium));
        agents.push((agent.power_on(&site.lab).await, agent));
        let joined = |status: &Status| {
            status.nodes.iter().filter(|node| node.phase == Phase::Installing).count() == agents.len()
        };
        site.lab.until(&format!("{} is being installed", node.name), joined).await;
    }
    look(&site, agents.len()).await;

    let began = Instant::now();
    agents[0].1.finish_install();
    site.lab.until_node("etcd-1", Phase::Restarting).await;
    println!("| a change on a node, until it is shown | {:.1} s | |", began.elapsed().as_secs_f64());
    let memory = resident() / 1_000_000;
    println!("| memory of a manager with these nodes, which run in the same process | {memory} MB | 60 MB |");

    site.lab.show.abort();
    site.lab.core.show_instead(sample::hundred());
    look(&site, 100).await;
}
