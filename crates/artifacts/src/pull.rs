//! Fetching all that is missing: a plan with a step for each file, and its execution.

use crate::client::Client;
use crate::fetch::{FetchError, Told, Want};
use crate::pins::Pin;
use crate::store::{State, Store, StoreError};
use cairn_workflow::log::chain;
use cairn_workflow::{Plan, Step, What};
use serde::Serialize;

/// What the job is about: no node can be called so.
pub const SUBJECT: &str = "artifacts/store";

/// A pin, and how it stands.
#[derive(Clone, Debug)]
pub struct Item {
    pub pin: Pin,
    pub state: State,
}

/// Something that an owner who has no network can carry over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Listed {
    pub name: String,
    pub version: String,
    pub arch: String,
    #[serde(flatten)]
    pub state: State,
    /// In bytes, where it is known.
    pub size: Option<u64>,
    pub sha256: Option<String>,
    pub url: String,
}

impl Item {
    pub fn is_there(&self) -> bool {
        matches!(self.state, State::There { .. })
    }

    pub fn listed(&self) -> Listed {
        let Pin { name, version, arch, url, checksums: _, sum, size } = self.pin.clone();
        let size = match self.state {
            State::There { size } => Some(size),
            State::Missing { .. } | State::Damaged | State::NotLocked => size,
        };
        let sha256 = sum.map(|sum| sum.to_string());
        Listed { name, version, arch: arch.to_string(), state: self.state, size, sha256, url }
    }

    /// What to fetch, if it is to be fetched and can be.
    fn want(&self) -> Option<Want> {
        match self.state {
            State::There { .. } | State::NotLocked => None,
            State::Missing { .. } | State::Damaged => {
                let (url, size) = (self.pin.url.clone(), self.pin.size);
                self.pin.sum.map(|sum| Want { url, sum, size })
            }
        }
    }
}

/// # Errors
/// When what is in the store can't be read.
pub fn look<'a>(store: &Store, pins: impl IntoIterator<Item = &'a Pin>) -> Result<Vec<Item>, StoreError> {
    let item = |pin: &Pin| Ok(Item { pin: pin.clone(), state: store.state(pin)? });
    pins.into_iter().map(item).collect()
}

fn step_id(pin: &Pin) -> String {
    format!("{}/{}/{}", pin.name, pin.version, pin.arch)
}

/// A step for each file that is missing and locked.
pub fn plan(items: &[Item]) -> Plan {
    let missing = items.iter().filter(|item| item.want().is_some());
    let steps = missing.map(|item| Step::new(&step_id(&item.pin), &item.pin.to_string())).collect();
    Plan::new("pull", SUBJECT, steps)
}

/// Fetches what the plan says, one after the other, and reports on it.
///
/// # Errors
/// The first that could not be had; those before it are there.
pub fn pull(
    store: &Store,
    client: &Client,
    items: &[Item],
    report: &mut dyn FnMut(What),
) -> Result<(), FetchError> {
    report(What::Planned { plan: plan(items) });
    for (item, want) in items.iter().filter_map(|item| Some((item, item.want()?))) {
        let step = step_id(&item.pin);
        report(What::Started { step: step.clone() });
        let mut tell = |told| {
            let step = step.clone();
            report(match told {
                Told::Progress { done, total } => {
                    What::Progress { step, done, total, unit: "bytes".to_owned() }
                }
                Told::Retried { attempt, reason } => What::Retried { step, attempt, reason },
            });
        };
        if let Err(error) = store.fetch(client, &want, &mut tell) {
            report(What::Failed { step, error: chain(&error) });
            return Err(error);
        }
        report(What::Done { step });
    }
    report(What::Finished);
    Ok(())
}
