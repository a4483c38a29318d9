//! The session token: who has it may change the cluster.

use cairn_model::secret::Secret;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the session token {} can't be read or written", .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error("the session token {} is damaged; delete it, and the manager makes another", .0.display())]
    Damaged(PathBuf),
    #[error("the operating system gave no random numbers")]
    Random(#[source] getrandom::Error),
}

/// 256 random bits in 64 hexadecimal digits.
#[derive(Clone)]
pub struct Token(Secret);

impl Token {
    pub fn load_or_make(path: &Path) -> Result<Self, TokenError> {
        let wrong = |error| TokenError::File(path.to_owned(), error);
        match std::fs::read_to_string(path).map(Zeroizing::new) {
            Ok(text) => Self::parse(&text).ok_or_else(|| TokenError::Damaged(path.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let token = Self::generate()?;
                let mut file =
                    OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).map_err(wrong)?;
                file.write_all(token.expose().as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)?;
                Ok(token)
            }
            Err(error) => Err(wrong(error)),
        }
    }

    pub fn generate() -> Result<Self, TokenError> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut()).map_err(TokenError::Random)?;
        Ok(Self(Secret::new(hex::encode(*bytes))))
    }

    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        (text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit()))
            .then(|| Self(Secret::new(text.to_owned())))
    }

    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Compared in constant time.
    pub fn is(&self, given: &str) -> bool {
        self.expose().as_bytes().ct_eq(given.trim().as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_token_is_it() {
        let [token, other] = [(); 2].map(|()| Token::generate().unwrap());
        assert!(token.is(token.expose()) && !token.is(other.expose()) && !token.is(""));
    }

    #[test]
    fn a_damaged_token_is_not_replaced_in_silence() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(Token::load_or_make(&path), Err(TokenError::Damaged(_))));
    }
}
