//! A node as it is written down: one flat table, because a nested one costs the file room per node, and not
//! serde's `flatten`, which would take a damaged machine for an absent one.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Enrolled, Fingerprint, Name, Node, Role, epochs};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FlatNode {
    name: Name,
    role: Role,
    number: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot: Option<Fingerprint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<Fingerprint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    luks: Option<Uuid>,
    #[serde(default = "epochs::first", skip_serializing_if = "epochs::is_first")]
    luks_epoch: u32,
}

/// A machine's details without a machine.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' has a running key or a volume but no boot key; the file was changed by hand")]
pub(super) struct NoBootKey(Name);

impl TryFrom<FlatNode> for Node {
    type Error = NoBootKey;

    fn try_from(flat: FlatNode) -> Result<Self, Self::Error> {
        let FlatNode { name, role, number, boot, node, luks, luks_epoch } = flat;
        let enrolled = match boot {
            Some(boot) => Some(Enrolled { boot, node, luks, luks_epoch }),
            None if node.is_some() || luks.is_some() => return Err(NoBootKey(name)),
            None => None,
        };
        Ok(Self { name, role, number, enrolled })
    }
}

impl From<Node> for FlatNode {
    fn from(node: Node) -> Self {
        let Node { name, role, number, enrolled } = node;
        match enrolled {
            Some(Enrolled { boot, node, luks, luks_epoch }) => {
                Self { name, role, number, boot: Some(boot), node, luks, luks_epoch }
            }
            None => {
                Self { name, role, number, boot: None, node: None, luks: None, luks_epoch: epochs::first() }
            }
        }
    }
}
