//! A plan: what a job will do, known whole before it starts.

use serde::{Deserialize, Serialize};

/// An ordered list of steps that brings one subject (a node, a medium) from what is to what is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Plan {
    /// The job in the imperative, such as `install`.
    pub job: String,
    /// What it is done to, such as `compute-1`.
    pub subject: String,
    /// In the order of execution; ids are unique within the plan.
    pub steps: Vec<Step>,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Step {
    /// Stable name by which events refer to the step.
    pub id: String,
    /// What a person reads, such as `Encrypt the data partition`.
    pub title: String,
}

impl Step {
    pub fn new(id: &str, title: &str) -> Self {
        Self { id: id.to_owned(), title: title.to_owned() }
    }
}

impl Plan {
    pub fn new(job: &str, subject: &str, steps: Vec<Step>) -> Self {
        Self { job: job.to_owned(), subject: subject.to_owned(), steps }
    }
}
