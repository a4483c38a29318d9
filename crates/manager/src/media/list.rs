//! What became of the media that were prepared.

use crate::api::{MediumState, MediumStatus};
use crate::journal::{Journal, Medium};
use cairn_model::cluster::Cluster;

/// The one that is good for the longest comes first. `now` is in seconds since 1970.
pub fn list(cluster: &Cluster, journal: &Journal, now: u64) -> Vec<MediumStatus> {
    let mut media: Vec<MediumStatus> = journal
        .media
        .iter()
        .map(|(id, medium)| {
            let Medium { node, kind, sha256, expires, used_by } = medium;
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
    use uuid::Uuid;

    #[test]
    fn a_medium_is_good_until_it_is_used_expired_or_its_place_is_taken() {
        let taken = cluster().with_enrolled(&"etcd-2".parse().unwrap(), key(1)).unwrap();
        let medium = |node: &str, expires, used_by| Medium {
            node: node.parse().unwrap(),
            kind: MediumKind::Sd,
            sha256: "ab".into(),
            expires,
            used_by,
        };
        let cases = [
            (medium("etcd-1", 11, None), MediumState::Good),
            (medium("etcd-1", 10, None), MediumState::Expired),
            (medium("etcd-1", 9, Some(key(3))), MediumState::Used),
            (medium("etcd-2", 8, None), MediumState::Obsolete),
            (medium("etcd-2", 7, Some(key(1))), MediumState::Used),
            (medium("etcd-9", 6, None), MediumState::Obsolete),
        ];
        let mut journal = Journal::default();
        for (number, (medium, _)) in (0..).zip(&cases) {
            journal.media.insert(Uuid::from_u128(number), medium.clone());
        }
        let states: Vec<_> = list(&taken, &journal, 10).into_iter().map(|medium| medium.state).collect();
        assert_eq!(states, cases.map(|(_, state)| state));
    }
}
