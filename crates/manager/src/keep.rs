//! Whether the owner has the cluster file in safe hands, and when to ask.

use crate::book::BookError;
use crate::core::Core;
use crate::journal::JournalError;
use cairn_model::secret::Secret;
use cairn_vault::file::PasteError;

#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error(transparent)]
    Paste(#[from] PasteError),
    #[error(transparent)]
    Book(#[from] BookError),
    #[error("that it is stored could not be written down")]
    Journal(#[from] JournalError),
}

/// Whether to ask the owner to store the file (again): at most once while this manager runs, and not at all
/// when nothing has changed.
pub fn asks(generation: u64, stored: Option<u64>, reminded: bool) -> bool {
    match stored {
        None => true,
        Some(stored) => stored < generation && !reminded,
    }
}

/// Whether it was never stored. Until then its passphrase is shown, and asked for; after that nobody who
/// comes to an open page gets it.
pub fn first(core: &Core) -> bool {
    core.book.journal(|journal| journal.stored.is_none())
}

/// The owner pasted the stored entry back. Its password is asked for as long as it was never stored.
///
/// # Errors
/// When it is not what is sealed now.
pub async fn confirm(core: &Core, password: &Secret, notes: &str) -> Result<(), KeepError> {
    let (entry, generation) = core.book.entry().await?;
    let password = if first(core) { password } else { entry.password() };
    entry.compare(password.expose(), notes)?;
    core.book.note(|journal| journal.stored = Some(generation))?;
    core.reminded();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_until_the_first_time_and_then_once_for_all_changes() {
        assert!(asks(1, None, false) && asks(1, None, true));
        assert!(!asks(3, Some(3), false) && asks(4, Some(3), false) && !asks(9, Some(3), true));
    }
}
