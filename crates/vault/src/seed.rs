//! The one secret that everything else is derived from.

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// 256 bits from the operating system's random generator. Has no `Debug` and no serialisation, so that it
/// can't slip into a log or an answer.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct RootSeed([u8; 32]);

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random numbers; try again once it is fully up")]
pub struct RandomError(#[source] getrandom::Error);

impl RootSeed {
    /// A new seed.
    ///
    /// # Errors
    ///
    /// When the operating system has no random bytes.
    pub fn generate() -> Result<Self, RandomError> {
        Ok(Self(*random()?))
    }

    /// A seed from known bytes: the opened file's, or a test's.
    pub fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(*bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 32 random bytes that are wiped after use.
pub(crate) fn random() -> Result<Zeroizing<[u8; 32]>, RandomError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut()).map_err(RandomError)?;
    Ok(bytes)
}
