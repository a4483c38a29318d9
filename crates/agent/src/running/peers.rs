//! What time the members of etcd say that it is. While the manager is away a node that started without a clock has nobody
//! else to ask, and clocks drift apart. As everywhere in a cluster a majority of the members is believed, and no single one.

use crate::clock;
use crate::console::say;
use crate::running::node::Node;
use cairn_model::cluster::{Name, Role};
use cairn_model::node_config::{EtcdMember, NodeConfig};
use cairn_vault::Leaf;
use cairn_wire::AGENT_PORT;
use cairn_wire::client::{Client, ClientError};
use cairn_wire::message::{Request, Response};
use cairn_wire::tls::{Expect, Identity};
use cairn_workflow::log::chain;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Milliseconds within which two clocks say the same, and below which one is left alone: as the manager has it, and far
/// below what a certificate of somebody else or an entry in a log needs.
const SAME: i64 = 5_000;
/// Half the time that an answer takes is what its time may be wrong by.
const SLOWEST: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(20);
/// A crystal is off by some 50 ppm, which is 30 ms in ten minutes.
const ASK_AGAIN: Duration = Duration::from_secs(600);
const ASK_SOON: Duration = Duration::from_secs(30);

/// By how many milliseconds a member's clock is ahead of this one's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    member: String,
    ahead: i64,
}

/// How far the clock is to be moved: to the nearest answer with which a majority of all members agrees, so that who lies
/// leads nobody further than those who do not lie.
fn agreed(answers: &[Answer], members: usize) -> Option<i64> {
    let majority = members / 2 + 1;
    let supporters =
        |one: &Answer| answers.iter().filter(|it| one.ahead.abs_diff(it.ahead) <= SAME as u64).count();
    answers
        .iter()
        .filter(|answer| supporters(answer) >= majority)
        .map(|answer| answer.ahead)
        .min_by_key(|ahead| ahead.unsigned_abs())
}

/// Whom to ask. A backup node asks nobody: what is deleted there goes only after a time by the site's own clock, and who
/// holds the cluster must not be able to move that.
fn others(config: &NodeConfig) -> Vec<EtcdMember> {
    match config.role {
        Role::Backup => Vec::new(),
        Role::Etcd | Role::Compute => {
            config.etcd.iter().filter(|member| member.name != config.name).cloned().collect()
        }
    }
}

/// Asks the other members now and then, for ever.
pub async fn keep_time(node: &Arc<Node>, identity: &Identity, ca: &str) {
    loop {
        let config = node.config();
        let answers = ask_all(others(&config), identity, ca).await;
        if let Some(ahead) = agreed(&answers, config.etcd.len()) {
            let node = Arc::clone(node);
            let _ = tokio::task::spawn_blocking(move || follow(&node, ahead, &answers)).await;
        }
        sleep(if clock::is_known() { ASK_AGAIN } else { ASK_SOON }).await;
    }
}

fn follow(node: &Node, ahead: i64, answers: &[Answer]) {
    if ahead.abs() <= SAME {
        clock::trust();
        return;
    }
    let moved = Duration::from_millis(ahead.unsigned_abs());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let right = if ahead > 0 { now.saturating_add(moved) } else { now.saturating_sub(moved) };
    match node.set_clock(right) {
        Ok(()) => say(&told(ahead, answers)),
        Err(error) => say(&format!("the clock stays as it is: {}", chain(&error))),
    }
}

/// In words, for a person who reads this node's log.
fn told(ahead: i64, answers: &[Answer]) -> String {
    let word = if ahead > 0 { "behind" } else { "ahead" };
    let mut text =
        format!("the clock was {} s {word}, and was set to what these say: ", ahead.unsigned_abs() / 1000);
    for (count, answer) in answers.iter().filter(|it| it.ahead.abs_diff(ahead) <= SAME as u64).enumerate() {
        let _ = write!(text, "{}{}", if count > 0 { ", " } else { "" }, answer.member);
    }
    text
}

async fn ask_all(members: Vec<EtcdMember>, identity: &Identity, ca: &str) -> Vec<Answer> {
    let mut asked = JoinSet::new();
    for member in members {
        let (identity, ca) = (identity.clone(), ca.to_owned());
        asked.spawn(async move {
            let address = SocketAddr::from((member.address, AGENT_PORT));
            match timeout(PATIENCE, ask(&member.name, address, &identity, ca)).await {
                Ok(Ok(Some(ahead))) => Some(Answer { member: member.name, ahead }),
                Ok(Ok(None)) | Err(_) => None,
                Ok(Err(error)) => {
                    tracing::debug!(
                        member = member.name,
                        because = chain(&error),
                        "does not say what time it is"
                    );
                    None
                }
            }
        });
    }
    let mut answers: Vec<Answer> = asked.join_all().await.into_iter().flatten().collect();
    answers.sort_by(|one, other| one.member.cmp(&other.member));
    answers
}

/// By how much that clock is ahead; none when the member does not know the time itself, or took too long.
async fn ask(
    member: &str,
    address: SocketAddr,
    identity: &Identity,
    ca: String,
) -> Result<Option<i64>, ClientError> {
    let Ok(name) = member.parse::<Name>() else { return Ok(None) };
    let expect = Expect::Named { ca, name: Leaf::node_name(&name) };
    let mut client = Client::connect(address, identity, &expect).await?;
    let asked = Instant::now();
    let Response::Time { unix_ms, known } = client.ask(&Request::Time).await? else {
        return Err(ClientError::Unexpected);
    };
    let took = asked.elapsed();
    let own = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Some(ahead(unix_ms, took, own)).filter(|_| known && took <= SLOWEST))
}

/// The answer was true half way between question and answer (RFC 5905, section 8).
fn ahead(unix_ms: u64, took: Duration, own: Duration) -> i64 {
    let ms = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    i64::try_from(unix_ms).unwrap_or(i64::MAX).saturating_add(ms(took) / 2).saturating_sub(ms(own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answers(ahead: &[i64]) -> Vec<Answer> {
        let answer =
            |(count, ahead): (usize, &i64)| Answer { member: format!("etcd-{}", count + 1), ahead: *ahead };
        ahead.iter().enumerate().map(answer).collect()
    }

    #[test]
    fn two_of_three_members_are_believed_and_one_alone_is_not() {
        assert_eq!(agreed(&answers(&[60_000, 62_000]), 3), Some(60_000));
        assert_eq!(agreed(&answers(&[-60_000, -62_000]), 3), Some(-60_000));
        assert_eq!(agreed(&answers(&[60_000]), 3), None);
        assert_eq!(agreed(&answers(&[60_000, 90_000]), 3), None);
        assert_eq!(agreed(&[], 3), None);
        // a compute node has all three to ask, and a cluster of one member has one that decides all else, too
        assert_eq!(agreed(&answers(&[60_000, 3_000_000, 61_000]), 3), Some(60_000));
        assert_eq!(agreed(&answers(&[60_000]), 1), Some(60_000));
        assert_eq!(agreed(&[], 0), None);
    }

    #[test]
    fn half_of_the_way_is_counted() {
        let own = Duration::from_secs(1_764_000_000);
        assert_eq!(ahead(1_764_000_000_000, Duration::ZERO, own), 0);
        assert_eq!(ahead(1_764_000_001_000, Duration::from_millis(500), own), 1_250);
        assert_eq!(ahead(0, Duration::ZERO, own), -1_764_000_000_000);
        assert!(ahead(u64::MAX, SLOWEST, own) > 0);
    }

    #[test]
    fn who_reads_the_log_learns_whose_word_it_was() {
        let text = told(143_900, &answers(&[143_900, 9, 145_000]));
        assert_eq!(text, "the clock was 143 s behind, and was set to what these say: etcd-1, etcd-3");
        assert!(told(-6_000, &answers(&[-6_000])).contains("6 s ahead"));
    }

    #[test]
    fn a_node_asks_the_other_members_and_a_backup_node_asks_nobody() {
        let member =
            |number: u8| EtcdMember { name: format!("etcd-{number}"), address: [10, 81, 3, number].into() };
        let mut config = NodeConfig {
            cluster: "home".into(),
            name: "etcd-2".into(),
            role: Role::Etcd,
            address: [10, 81, 3, 2].into(),
            prefix_length: 24,
            manager_address: [10, 81, 3, 100].into(),
            etcd: vec![member(1), member(2), member(3)],
            etcd_founding: true,
            k3s: None,
        };
        assert_eq!(others(&config), [member(1), member(3)]);
        config.name = "compute-1".into();
        config.role = Role::Compute;
        assert_eq!(others(&config).len(), 3);
        config.role = Role::Backup;
        assert_eq!(others(&config), []);
    }

    proptest! {
        /// Fewer liars than a majority lead nobody further from the truth than an honest clock is.
        #[test]
        fn a_minority_that_lies_moves_no_clock_away_from_an_honest_one(
            honest in proptest::collection::vec(-100_000_i64..100_000, 0..6),
            lies in proptest::collection::vec(any::<i64>(), 0..3),
            silent in 0_usize..3,
        ) {
            let members = honest.len() + lies.len() + silent;
            prop_assume!(lies.len() < members / 2 + 1);
            let all: Vec<i64> = honest.iter().chain(&lies).copied().collect();
            if let Some(ahead) = agreed(&answers(&all), members) {
                prop_assert!(honest.iter().any(|it| it.abs_diff(ahead) <= SAME as u64));
            }
        }

        /// Two who say the same are followed, and no further than they say, whatever the third says.
        #[test]
        fn a_majority_that_agrees_is_followed(offset in any::<i32>(), lie in any::<i64>(), apart in 0..SAME) {
            let offset = i64::from(offset);
            let ahead = agreed(&answers(&[offset, offset + apart, lie]), 3).unwrap();
            prop_assert!(ahead.abs_diff(offset) <= 2 * SAME as u64);
            prop_assert!(ahead.unsigned_abs() <= offset.abs().max((offset + apart).abs()).unsigned_abs());
        }
    }
}
