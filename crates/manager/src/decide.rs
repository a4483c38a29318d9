//! What to do next with one machine.
//!
//! ```text
//! fresh -> code exchange -> approval ─┐
//! joining -> proof of its join key ───┴-> enrol -> follow -> restart -> unlock -> configure
//! ```
//!
//! Nothing is remembered here: the answer follows from what the machine says, what TLS proved, the
//! cluster file and the journal. That is why a manager that was killed, or lost its working directory,
//! goes on where it has to.

use crate::copies::Standing;
use crate::journal::{Approval, Way};
use cairn_model::cluster::{Cluster, Enrolled, Fingerprint, Name, Node};
use cairn_vault::Leaf;
use cairn_wire::message::{AgentState, Description, PROTOCOL};
use cairn_wire::{fingerprint, tls};
use uuid::Uuid;

/// Who the other side is, as far as TLS proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proven {
    /// It holds this key; nothing else is known.
    Key(Fingerprint),
    /// Our authority named it this node, locked.
    Boot { node: Name, key: Fingerprint },
    /// Our authority named it this node, running.
    Node { node: Name, key: Fingerprint },
}

impl Proven {
    pub fn key(&self) -> &Fingerprint {
        match self {
            Self::Key(key) | Self::Boot { key, .. } | Self::Node { key, .. } => key,
        }
    }
}

/// All that matters for the decision.
pub struct Facts<'a> {
    pub proven: &'a Proven,
    pub description: &'a Description,
    pub cluster: &'a Cluster,
    /// The certificate (PEM) of the agents' authority.
    pub agents_ca: &'a str,
    /// The journal's word for this machine.
    pub approval: Option<&'a Approval>,
    /// The short code was exchanged since this manager started.
    pub exchanged: bool,
    /// The roster number that this machine was told last.
    pub told: Option<u64>,
    /// A running machine proved to be this very node a moment ago.
    pub runs_elsewhere: bool,
    /// What it keeps of the cluster file, beside ours.
    pub standing: Standing,
    /// Its clock is not ours, and it was not told so a moment ago.
    pub clock_off: bool,
    /// False while a refusal or failure is too recent to try again.
    pub may_try: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    ExchangeCode,
    /// The owner has to compare the code.
    AwaitApproval,
    /// Whether it gets the place is decided by its proof.
    ProveJoin {
        node: Name,
    },
    Enrol {
        node: Name,
        way: Way,
    },
    Follow {
        node: Name,
    },
    /// Before it gets anything that is judged by date.
    SetClock,
    Unlock {
        node: Name,
        luks: Uuid,
    },
    /// Write down an identity that this cluster issued and the file does not know yet.
    Adopt {
        node: Name,
        boot: Fingerprint,
        running: Option<Fingerprint>,
        luks: Option<Uuid>,
    },
    /// Go on from the newer cluster file that it keeps.
    TakeUp {
        node: Name,
    },
    Configure {
        node: Name,
    },
    /// Tell it where to fetch what it wants, as far as it is there.
    Provide,
    Nothing,
    /// In words for the owner. The machine gets nothing.
    Refuse {
        reason: String,
    },
}

fn refuse(reason: impl Into<String>) -> Action {
    Action::Refuse { reason: reason.into() }
}

pub fn decide(facts: &Facts<'_>) -> Action {
    let protocol = facts.description.protocol;
    if protocol != PROTOCOL {
        let versions =
            format!("it speaks version {protocol} of Cairn's protocol and this manager version {PROTOCOL}");
        return refuse(format!("{versions}; use an image and a manager of the same release"));
    }
    let action = match &facts.description.state {
        AgentState::Fresh => fresh(facts),
        AgentState::Joining { node } => joining(facts, node),
        AgentState::Installing { node } => match known(facts, node) {
            Ok(name) => Action::Follow { node: name },
            Err(action) => action,
        },
        // its last events may still be unread
        AgentState::Restarting { node } => match known(facts, node) {
            Ok(name) => Action::Follow { node: name },
            Err(_) => Action::Nothing,
        },
        AgentState::Starting { .. } => Action::Nothing,
        AgentState::Locked { node } => locked(facts, node),
        AgentState::Running { node } => running(facts, node),
    };
    match action {
        Action::Enrol { .. }
        | Action::ProveJoin { .. }
        | Action::Unlock { .. }
        | Action::Configure { .. }
            if facts.clock_off =>
        {
            Action::SetClock
        }
        Action::Nothing if facts.clock_off && facts.may_try && is_running(facts) => Action::SetClock,
        action => action,
    }
}

fn is_running(facts: &Facts<'_>) -> bool {
    matches!(facts.description.state, AgentState::Running { .. })
}

fn fresh(facts: &Facts<'_>) -> Action {
    // The agent believes whoever it exchanged codes with, so that comes first, approved or not.
    if !facts.exchanged {
        return if facts.may_try { Action::ExchangeCode } else { Action::Nothing };
    }
    let Some(approval) = facts.approval else { return Action::AwaitApproval };
    if !facts.may_try {
        return Action::Nothing;
    }
    let Some(node) = facts.cluster.node(&approval.node) else {
        return refuse(format!(
            "it was approved as '{}', which the cluster does not have any more",
            approval.node
        ));
    };
    if holder(node).is_some_and(|boot| boot != facts.proven.key() && Some(*boot) != approval.replaces) {
        return taken(&node.name);
    }
    if facts.description.requests.is_none() || facts.description.encryption.luks_uuid.is_none() {
        return refuse("it sent no certificate requests; switch it off and on again");
    }
    Action::Enrol { node: node.name.clone(), way: approval.way.clone() }
}

fn joining(facts: &Facts<'_>, said: &str) -> Action {
    match said.parse::<Name>() {
        _ if !facts.may_try => Action::Nothing,
        Ok(node) => Action::ProveJoin { node },
        Err(error) => refuse(format!("its medium names no node: {error}")),
    }
}

/// The node that an enrolled but not yet restarted machine is: by its key in the file, else by the
/// certificate that this cluster gave it.
fn known(facts: &Facts<'_>, said: &str) -> Result<Name, Action> {
    let key = facts.proven.key();
    if let Some(node) = facts.cluster.node_with_key(key) {
        return if node.name.as_str() == said {
            Ok(node.name.clone())
        } else {
            Err(mismatch(said, &node.name))
        };
    }
    let node = place(facts, said)?;
    if certified(facts, &node.name) != Some(*key) {
        return Err(refuse(format!(
            "it is being installed as '{said}', but not by this cluster's manager; if it should belong here, switch it off and on again and approve it"
        )));
    }
    let luks = facts.description.encryption.luks_uuid;
    Err(match holder(node) {
        Some(_) => taken(&node.name),
        None => Action::Adopt { node: node.name.clone(), boot: *key, running: None, luks },
    })
}

fn locked(facts: &Facts<'_>, said: &str) -> Action {
    let key = facts.proven.key();
    let proven = match facts.proven {
        Proven::Boot { node, .. } => Some(node),
        // a key that the file has as this node's boot key is worth as much as a certificate
        Proven::Key(key) => {
            facts.cluster.nodes.iter().find(|n| holder(n) == Some(key)).map(|node| &node.name)
        }
        Proven::Node { .. } => None,
    };
    let Some(name) = proven else {
        return refuse(format!("it says that it is '{said}' and locked, but shows no such identity"));
    };
    if name.as_str() != said {
        return mismatch(said, name);
    }
    let node = match place(facts, said) {
        Ok(node) => node,
        Err(action) => return action,
    };
    let Some(luks) = facts.description.encryption.luks_uuid else {
        return refuse("it found no encrypted data partition; is its disk still there?");
    };
    let others = facts.cluster.nodes.iter().filter(|other| other.name != *name);
    if others.filter_map(|other| other.enrolled.as_ref()).any(|machine| machine.luks == Some(luks)) {
        return refuse("its data partition is another node's; was a disk moved or copied?");
    }
    if facts.runs_elsewhere {
        return refuse(format!(
            "'{name}' is running, and a second machine shows its boot identity: somebody may have copied its boot partition. It gets no key"
        ));
    }
    match &node.enrolled {
        None => Action::Adopt { node: name.clone(), boot: *key, running: None, luks: Some(luks) },
        Some(Enrolled { boot, .. }) if boot != key => taken(name),
        Some(Enrolled { luks: Some(known), .. }) if *known != luks => refuse(format!(
            "its data partition ({luks}) is not the one that was made when it was installed ({known}); put the right disk back"
        )),
        Some(Enrolled { luks: None, .. }) => {
            Action::Adopt { node: name.clone(), boot: *key, running: None, luks: Some(luks) }
        }
        Some(_) if facts.may_try => Action::Unlock { node: name.clone(), luks },
        Some(_) => Action::Nothing,
    }
}

fn running(facts: &Facts<'_>, said: &str) -> Action {
    let Proven::Node { node: name, key } = facts.proven else {
        return refuse(format!("it says that it is '{said}' and running, but shows no such identity"));
    };
    if name.as_str() != said {
        return mismatch(said, name);
    }
    // before it is looked up: perhaps only the newer file has it
    if facts.standing == Standing::Newer {
        return if facts.may_try { Action::TakeUp { node: name.clone() } } else { Action::Nothing };
    }
    let node = match place(facts, said) {
        Ok(node) => node,
        Err(action) => return action,
    };
    let certified = certified(facts, name);
    let others = facts.cluster.nodes.iter().filter(|other| other.name != *name);
    let theirs: Vec<Uuid> = others.filter_map(|other| other.enrolled.as_ref()?.luks).collect();
    let luks = facts.description.encryption.luks_uuid.filter(|luks| !theirs.contains(luks));
    match (&node.enrolled, certified) {
        (Some(Enrolled { node: Some(known), .. }), _) if known == key => {
            if facts.told != Some(facts.cluster.generation) && facts.may_try {
                Action::Configure { node: name.clone() }
            } else if !facts.description.wants.is_empty() && facts.may_try {
                Action::Provide
            } else {
                Action::Nothing
            }
        }
        (Some(Enrolled { node: Some(_), .. }), _) => taken(name),
        (Some(Enrolled { boot, node: None, .. }), Some(shown)) if *boot != shown => taken(name),
        (Some(Enrolled { boot, node: None, luks: known, .. }), _) => {
            // a volume that the file knows stays the node's, whatever it says now
            let luks = luks.filter(|_| known.is_none());
            Action::Adopt { node: name.clone(), boot: *boot, running: Some(*key), luks }
        }
        (None, Some(boot)) => Action::Adopt { node: name.clone(), boot, running: Some(*key), luks },
        (None, None) => refuse(format!(
            "the cluster file does not know it as '{name}' yet, and it shows no boot certificate of this cluster; restart it"
        )),
    }
}

fn place<'a>(facts: &Facts<'a>, said: &str) -> Result<&'a Node, Action> {
    let name = said.parse::<Name>().ok();
    name.and_then(|name| facts.cluster.node(&name)).ok_or_else(|| {
        refuse(format!(
            "it says that it is '{said}', which this cluster does not have; was that node removed?"
        ))
    })
}

/// The key in the boot certificate that the machine shows, if this cluster issued it for the node.
fn certified(facts: &Facts<'_>, node: &Name) -> Option<Fingerprint> {
    let der = tls::pem_to_der(facts.description.boot_certificate.as_deref()?).ok()?;
    let ours = tls::issued_for(facts.agents_ca, &der, &Leaf::boot_name(node));
    fingerprint::of_certificate(&der).ok().filter(|_| ours)
}

fn holder(node: &Node) -> Option<&Fingerprint> {
    node.enrolled.as_ref().map(|machine| &machine.boot)
}

fn taken(node: &Name) -> Action {
    refuse(format!(
        "the place of '{node}' belongs to another machine's key; if this machine is to replace it, remove that node and install this one anew"
    ))
}

fn mismatch(said: &str, proven: &Name) -> Action {
    refuse(format!("it says that it is '{said}', but its identity is that of '{proven}'"))
}

#[cfg(test)]
#[path = "decide_tests.rs"]
pub(crate) mod tests;
