//! Looks for enrolled nodes where they should be, for networks that carry no multicast.

use crate::core::Core;
use cairn_model::cluster::Cluster;
use cairn_model::phase::Phase;
use cairn_wire::AGENT_PORT;
use cairn_wire::announce::Announcement;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, interval};

const EVERY: Duration = Duration::from_secs(10);

/// Two guesses per enrolled node: running, and locked.
fn guesses(cluster: &Cluster) -> Vec<Announcement> {
    let mut guesses = Vec::new();
    for node in &cluster.nodes {
        let Some(machine) = &node.enrolled else { continue };
        let guess = |fingerprint, phase| Announcement {
            fingerprint,
            phase,
            node: Some(node.name.to_string()),
            port: AGENT_PORT,
            addresses: vec![cluster.address_of(node)],
        };
        guesses.extend(machine.node.map(|key| guess(key, Phase::Running)));
        guesses.push(guess(machine.boot, Phase::Locked));
    }
    guesses
}

pub async fn seek(core: Arc<Core>) {
    let mut tick = interval(EVERY);
    loop {
        tick.tick().await;
        for guess in guesses(core.book.file().cluster()) {
            core.suppose(guess);
        }
        core.registry().forget(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::tests::{cluster, key};

    #[test]
    fn an_enrolled_node_is_looked_for_at_its_fixed_address() {
        let cluster = cluster().with_enrolled(&"etcd-2".parse().unwrap(), key(1)).unwrap();
        let found = guesses(&cluster.with_node_key(&"etcd-2".parse().unwrap(), key(2)).unwrap());
        let phases: Vec<Phase> = found.iter().map(|guess| guess.phase).collect();
        assert_eq!(phases, [Phase::Running, Phase::Locked]);
        assert!(
            found
                .iter()
                .all(|guess| guess.addresses == ["10.87.33.11".parse::<std::net::Ipv4Addr>().unwrap()])
        );
    }
}
