//! What became of the media that were prepared.

use crate::api::{MediumState, MediumStatus};
use crate::journal::{Journal, Medium};
use cairn_model::cluster::{Cluster, Name};
use std::net::Ipv4Addr;

/// The one that is good for the longest comes first. `now` is in seconds since 1970.
pub fn list(cluster: &Cluster, journal: &Journal, now: u64) -> Vec<MediumStatus> {
    let mut media: Vec<MediumStatus> = journal
        .media
        .iter()
        .map(|(id, medium)| {
            let Medium { node, kind, sha256, expires, used_by, address: _ } = medium;
            MediumStatus {
                id: id.to_string(),
                node: node.clone(),
                kind: *kind,
                sha256: sha256.clone(),
                expires: *expires,
                state: state(cluster, medium, now),
                used_by: used_by.as_ref().map(ToString::to_string),
            }
        })
        .collect();
    media.sort_by(|a, b| b.expires.cmp(&a.expires).then_with(|| a.id.cmp(&b.id)));
    media
}

/// For which other node this static address is, by a medium that is good or by which a machine joined that is still a
/// node. `now` is in seconds since 1970.
pub fn holder(cluster: &Cluster, journal: &Journal, address: Ipv4Addr, own: &Name, now: u64) -> Option<Name> {
    let holds = |medium: &&Medium| {
        let enrolled = || cluster.node(&medium.node)?.enrolled.as_ref();
        medium.address == Some(address)
            && medium.node != *own
            && match state(cluster, medium, now) {
                MediumState::Good => true,
                MediumState::Used => {
                    enrolled().zip(medium.used_by).is_some_and(|(node, key)| node.shows(&key))
                }
                MediumState::Obsolete | MediumState::Expired => false,
            }
    };
    journal.media.values().find(holds).map(|medium| medium.node.clone())
}

fn state(cluster: &Cluster, medium: &Medium, now: u64) -> MediumState {
    let is_free = cluster.node(&medium.node).is_some_and(|node| node.enrolled.is_none());
    match medium.used_by {
        Some(_) => MediumState::Used,
        None if !is_free => MediumState::Obsolete,
        None if now >= medium.expires => MediumState::Expired,
        None => MediumState::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::MediumKind;
    use crate::decide::tests::{cluster, key};
    use cairn_model::cluster::Fingerprint;
    use uuid::Uuid;

    fn medium(node: &str, expires: u64, used_by: Option<Fingerprint>) -> Medium {
        let (kind, sha256) = (MediumKind::Sd, "ab".into());
        Medium { node: node.parse().unwrap(), kind, sha256, expires, used_by, address: None }
    }

    fn journal(media: &[Medium]) -> Journal {
        let media = (0..).map(Uuid::from_u128).zip(media.iter().cloned()).collect();
        Journal { media, ..Journal::default() }
    }

    #[test]
    fn a_medium_is_good_until_it_is_used_expired_or_its_place_is_taken() {
        let taken = cluster().with_enrolled(&"etcd-2".parse().unwrap(), key(1)).unwrap();
        let cases = [
            (medium("etcd-1", 11, None), MediumState::Good),
            (medium("etcd-1", 10, None), MediumState::Expired),
            (medium("etcd-1", 9, Some(key(3))), MediumState::Used),
            (medium("etcd-2", 8, None), MediumState::Obsolete),
            (medium("etcd-2", 7, Some(key(1))), MediumState::Used),
            (medium("etcd-9", 6, None), MediumState::Obsolete),
        ];
        let media = cases.clone().map(|(medium, _)| medium);
        let states: Vec<_> =
            list(&taken, &journal(&media), 10).into_iter().map(|medium| medium.state).collect();
        assert_eq!(states, cases.map(|(_, state)| state));
    }

    #[test]
    fn a_static_address_belongs_to_one_node_for_as_long_as_its_medium_or_machine_counts() {
        let address = Ipv4Addr::new(192, 168, 1, 21);
        let own = "etcd-1".parse().unwrap();
        let free = cluster();
        let taken = free.clone().with_enrolled(&"etcd-2".parse().unwrap(), key(1)).unwrap();
        let holds = |cluster: &Cluster, medium: Medium| {
            let media = [Medium { address: Some(address), ..medium }];
            holder(cluster, &journal(&media), address, &own, 10).is_some()
        };
        assert!(holds(&free, medium("etcd-2", 11, None)));
        assert!(holds(&taken, medium("etcd-2", 9, Some(key(1)))), "its machine runs with it");
        assert!(!holds(&free, medium("etcd-2", 10, None)), "expired");
        assert!(!holds(&taken, medium("etcd-2", 11, None)), "its place is taken");
        assert!(!holds(&taken, medium("etcd-2", 9, Some(key(3)))), "another machine is the node");
        assert!(!holds(&free, medium("etcd-2", 9, Some(key(1)))), "the node was removed");
        assert!(!holds(&free, medium("etcd-1", 11, None)), "the same node's medium, made anew");
        let other = [Medium { address: Some(Ipv4Addr::LOCALHOST), ..medium("etcd-2", 11, None) }];
        assert_eq!(holder(&free, &journal(&other), address, &own, 10), None);
    }
}
