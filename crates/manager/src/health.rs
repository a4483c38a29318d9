//! Whether the cluster is healthy, and if not, what is missing. A pure function of what is shown.

use crate::api::{EtcdStatus, NodeStatus};
use cairn_model::cluster::Role;
use cairn_model::phase::{ConditionKind, Phase};

/// One sentence for each thing that is missing; none when healthy.
///
/// A place for a compute or backup node that no machine has taken is only room to grow; one for an etcd
/// node is a missing member.
pub fn missing(nodes: &[NodeStatus], etcd: &EtcdStatus) -> Vec<String> {
    let mut missing = Vec::new();
    for node in nodes {
        if !node.enrolled {
            if node.role == Role::Etcd {
                missing.push(format!("no machine has taken the place of {} yet", node.name));
            }
            continue;
        }
        if node.phase != Phase::Running {
            missing.push(format!("{} is {}", node.name, node.phase));
        }
        let faults = node.conditions.iter().filter(|condition| condition.kind == ConditionKind::Fault);
        missing.extend(faults.map(|fault| format!("{}: {}", node.name, fault.message)));
    }
    let wanted = nodes.iter().filter(|node| node.role == Role::Etcd).count();
    if etcd.members.is_empty() && wanted > 0 {
        missing.push("etcd is not reached yet".to_owned());
    }
    let sick = etcd.members.iter().filter(|member| !member.healthy);
    missing.extend(sick.map(|member| {
        let error = member.error.as_deref().unwrap_or("it is not healthy");
        format!("etcd on {}: {error}", member.name)
    }));
    missing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::EtcdMemberStatus;
    use cairn_model::phase::Condition;

    fn node(name: &str, role: Role, enrolled: bool, phase: Phase) -> NodeStatus {
        NodeStatus {
            name: name.into(),
            role,
            phase,
            conditions: Vec::new(),
            address: "10.1.2.10".parse().unwrap(),
            enrolled,
            encrypted: true,
            unlocked: true,
            memory_used: 0,
            agent_resident: 0,
            vitals: None,
            next_boot: None,
            version: None,
            inventory: None,
            job: None,
        }
    }

    fn etcd(healthy: bool) -> EtcdStatus {
        let error = (!healthy).then(|| "it does not answer".to_owned());
        let member = EtcdMemberStatus { name: "etcd-1".into(), id: None, peer_url: None, healthy, error };
        EtcdStatus { healthy: usize::from(healthy), members: vec![member] }
    }

    #[test]
    fn a_cluster_is_healthy_when_all_that_belongs_to_it_runs() {
        let mut waiting = node("compute-1", Role::Compute, true, Phase::Running);
        waiting.conditions.push(Condition::waiting("waiting for artifact k3s"));
        let free = node("compute-2", Role::Compute, false, Phase::Absent);
        let one = node("etcd-1", Role::Etcd, true, Phase::Running);
        assert_eq!(missing(&[one, waiting, free], &etcd(true)), Vec::<String>::new());
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut faulty = node("compute-1", Role::Compute, true, Phase::Running);
        faulty.conditions.push(Condition::fault("disk full"));
        let nodes = [
            node("etcd-1", Role::Etcd, true, Phase::Locked),
            node("etcd-2", Role::Etcd, false, Phase::Absent),
            faulty,
        ];
        let expected = [
            "etcd-1 is locked",
            "no machine has taken the place of etcd-2 yet",
            "compute-1: disk full",
            "etcd on etcd-1: it does not answer",
        ];
        assert_eq!(missing(&nodes, &etcd(false)), expected);
        assert!(missing(&nodes, &EtcdStatus::default()).contains(&"etcd is not reached yet".to_owned()));
    }
}
