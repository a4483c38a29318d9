//! The job of writing a medium to a disk of this machine, told like every other job.

use super::{MediaError, Wish, write};
use crate::core::Core;
use crate::jobs::Jobs;
use cairn_model::cluster::Name;
use cairn_workflow::log::chain;
use cairn_workflow::{Plan, RowState, Step, What};
use std::path::Path;
use std::sync::Arc;

const PREPARE: &str = "prepare-image";
const WRITE: &str = "write";
const VERIFY: &str = "verify";
/// Progress is told this often, in bytes.
const REPORT_EVERY: u64 = 8 << 20;

/// What the job is about, for the jobs and their events.
pub fn subject(node: &Name) -> String {
    format!("medium/{node}")
}

fn plan(node: &Name) -> Plan {
    let steps = vec![
        Step::new(PREPARE, "Prepare the image"),
        Step::new(WRITE, "Write it to the disk"),
        Step::new(VERIFY, "Read it back and compare"),
    ];
    Plan::new("write-medium", &subject(node), steps)
}

/// Begins the job; the events tell the rest. One medium is written at a time.
///
/// # Errors
/// When the node gets no medium, the disk is not fit, or another one is being written.
pub async fn start(core: &Arc<Core>, wish: Wish, disk: String) -> Result<(), MediaError> {
    wish.check(core)?;
    let turn = Arc::clone(&core.writing).try_lock_owned().map_err(|_| MediaError::Busy)?;
    let target = tokio::task::spawn_blocking(move || write::claim(Path::new("/"), &disk)).await??;
    core.jobs.plan(plan(&wish.node));
    let core = Arc::clone(core);
    tokio::spawn(async move {
        let node = wish.node.clone();
        match told(&core.jobs, &node, run(Arc::clone(&core), wish, target)).await {
            Ok(()) => tracing::info!(%node, "wrote a medium"),
            Err(error) => tracing::warn!(%node, error = chain(&error), "a medium was not written"),
        }
        drop(turn);
    });
    Ok(())
}

/// Ends the job as the work ended, also when the work itself can't say so any more.
async fn told(
    jobs: &Jobs,
    node: &Name,
    work: impl Future<Output = Result<(), MediaError>> + Send + 'static,
) -> Result<(), MediaError> {
    let result = tokio::spawn(work).await.unwrap_or_else(|panic| Err(panic.into()));
    let subject = subject(node);
    match &result {
        Ok(()) => jobs.report(&subject, What::Finished),
        Err(error) => {
            let rows = jobs.view(&subject).map(|job| job.rows).unwrap_or_default();
            if let Some(row) = rows.into_iter().find(|row| row.state == RowState::Running) {
                jobs.report(&subject, What::Failed { step: row.id, error: chain(error) });
            }
        }
    }
    result
}

async fn run(core: Arc<Core>, wish: Wish, target: write::Target) -> Result<(), MediaError> {
    let subject = subject(&wish.node);
    core.jobs.started(&subject, PREPARE);
    let medium = super::prepare(&core, wish).await?;
    core.jobs.done(&subject, PREPARE);
    tokio::task::spawn_blocking(move || {
        let (jobs, length) = (&core.jobs, medium.length);
        jobs.started(&subject, WRITE);
        target.write(&medium.file, length, progress(jobs, &subject, WRITE, length))?;
        jobs.done(&subject, WRITE);
        jobs.started(&subject, VERIFY);
        target.verify(&medium.file, length, progress(jobs, &subject, VERIFY, length))?;
        jobs.done(&subject, VERIFY);
        target.release();
        Ok(())
    })
    .await?
}

fn progress(jobs: &Jobs, subject: &str, step: &'static str, total: u64) -> impl FnMut(u64) {
    let mut next = REPORT_EVERY;
    move |done| {
        if done >= next || done == total {
            next = done.saturating_add(REPORT_EVERY);
            let (step, unit) = (step.to_owned(), "bytes".to_owned());
            jobs.report(subject, What::Progress { step, done, total, unit });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::write::tests::{Loop, claim, used_disk};
    use super::*;
    use crate::api::MediumKind;
    use crate::feed::Feed;
    use crate::simulation::{Lab, new_file};
    use cairn_layout::{Board, Esp, SectorSize};
    use std::time::SystemTime;

    #[tokio::test]
    async fn a_medium_that_was_written_to_a_block_device_carries_its_join_key_and_every_step_was_told() {
        let folder = tempfile::tempdir().unwrap();
        new_file(folder.path());
        let lab = Lab::start(folder.path(), "work");
        crate::image::tests::fake(&folder.path().join("image"));
        let path = used_disk(folder.path());
        let device = Loop::new(&path);
        let node: Name = "etcd-1".parse().unwrap();
        let wish = || Wish {
            node: node.clone(),
            kind: MediumKind::Usb,
            board: Board::Uefi,
            valid: None,
            wifi: None,
            address: None,
        };

        lab.core.jobs.plan(plan(&node));
        let work = run(Arc::clone(&lab.core), wish(), claim(&device.as_stick()).unwrap());
        told(&lab.core.jobs, &node, work).await.unwrap();

        let rows = lab.core.jobs.view(&subject(&node)).unwrap().rows;
        assert!(rows.iter().all(|row| row.state == RowState::Done), "{rows:?}");
        assert!(rows.iter().skip(1).all(|row| row.progress.is_some_and(|(done, total)| done == total)));
        let told = lab.core.jobs.feed.after(0);
        assert!(told.iter().any(|item| item.subject == "medium/etcd-1" && item.event.what == What::Finished));
        let mut disk = std::fs::File::open(&path).unwrap();
        let mut esp = Esp::open(&mut disk, SectorSize::B512).unwrap();
        assert!(esp.read("cairn/join.json").unwrap().is_some());
    }

    #[tokio::test]
    async fn a_medium_that_can_not_be_prepared_fails_its_first_step() {
        let folder = tempfile::tempdir().unwrap();
        new_file(folder.path());
        let lab = Lab::start(folder.path(), "work");
        let device = Loop::new(&used_disk(folder.path()));
        let node: Name = "etcd-1".parse().unwrap();
        let wish = Wish {
            node: node.clone(),
            kind: MediumKind::Usb,
            board: Board::Uefi,
            valid: None,
            wifi: None,
            address: None,
        };
        lab.core.jobs.plan(plan(&node));
        // there is no node image
        let work = run(Arc::clone(&lab.core), wish, claim(&device.as_stick()).unwrap());
        told(&lab.core.jobs, &node, work).await.unwrap_err();
        let rows = lab.core.jobs.view(&subject(&node)).unwrap().rows;
        let states: Vec<_> = rows.iter().map(|row| row.state).collect();
        assert_eq!(states, [RowState::Failed, RowState::Waiting, RowState::Waiting]);
        assert!(lab.core.book.journal(|journal| journal.media.is_empty()));
    }

    #[tokio::test]
    async fn a_step_in_which_the_work_is_lost_does_not_run_for_ever() {
        let jobs = Arc::new(Jobs::new(Arc::new(Feed::new(SystemTime::now()))));
        let node: Name = "etcd-1".parse().unwrap();
        jobs.plan(plan(&node));
        let (inner, about) = (Arc::clone(&jobs), subject(&node));
        let lost = async move {
            inner.started(&about, PREPARE);
            inner.done(&about, PREPARE);
            inner.started(&about, WRITE);
            panic!("lost")
        };
        told(&jobs, &node, lost).await.unwrap_err();
        let states: Vec<_> = jobs.view(&subject(&node)).unwrap().rows.iter().map(|row| row.state).collect();
        assert_eq!(states, [RowState::Done, RowState::Failed, RowState::Waiting]);
    }
}
