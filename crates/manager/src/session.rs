//! The browsers that have logged in, each by a cookie of its own.
//!
//! They are kept in memory only: a manager that was started anew asks for the passphrase again.

use crate::token::{Token, TokenError};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// An open page asks now and then; a browser that does not is logged out overnight.
const IDLE: Duration = Duration::from_secs(12 * 3600);
/// An owner has fewer browsers.
const MOST: usize = 64;

/// When each asked last, by the digest of its cookie: how long a search takes tells nothing about the cookie.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<BTreeMap<Vec<u8>, Instant>>);

fn digest(cookie: &str) -> Vec<u8> {
    Sha256::digest(cookie).to_vec()
}

impl Sessions {
    fn sessions(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cookie of a new session. When there are too many, it takes the place of the one that asked longest ago.
    ///
    /// # Errors
    /// When there are no random numbers.
    pub fn begin(&self, now: Instant) -> Result<Token, TokenError> {
        let cookie = Token::generate()?;
        let mut sessions = self.sessions();
        while sessions.len() >= MOST
            && let Some(oldest) = sessions.iter().min_by_key(|(_, asked)| **asked).map(|(key, _)| key.clone())
        {
            sessions.remove(&oldest);
        }
        sessions.insert(digest(cookie.expose()), now);
        Ok(cookie)
    }

    /// Whether the cookie's session goes on; asking keeps it so.
    pub fn goes_on(&self, cookie: &str, now: Instant) -> bool {
        let mut sessions = self.sessions();
        sessions.retain(|_, asked| now.saturating_duration_since(*asked) < IDLE);
        let session = sessions.get_mut(&digest(cookie));
        session.map(|asked| *asked = now).is_some()
    }

    pub fn end(&self, cookie: &str) {
        self.sessions().remove(&digest(cookie));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_goes_on_while_it_is_used_and_until_it_is_ended() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let [used, left] = [(); 2].map(|()| sessions.begin(start).unwrap());
        assert!(sessions.goes_on(used.expose(), start + IDLE / 2));
        assert!(sessions.goes_on(used.expose(), start + IDLE));
        assert!(!sessions.goes_on(left.expose(), start + IDLE));
        sessions.end(used.expose());
        assert!(!sessions.goes_on(used.expose(), start + IDLE));
        assert!(!sessions.goes_on("", start));
    }

    #[test]
    fn too_many_sessions_end_the_one_that_asked_longest_ago() {
        let (sessions, start) = (Sessions::default(), Instant::now());
        let after = |seconds: usize| start + Duration::from_secs(u64::try_from(seconds).unwrap());
        let cookies: Vec<Token> = (0..MOST).map(|number| sessions.begin(after(number)).unwrap()).collect();
        assert!(sessions.goes_on(cookies[0].expose(), after(MOST)));
        sessions.begin(after(MOST)).unwrap();
        let open: Vec<bool> = cookies.iter().map(|it| sessions.goes_on(it.expose(), after(MOST))).collect();
        assert!(open[0] && !open[1] && open[2..].iter().all(|it| *it), "{open:?}");
    }
}
