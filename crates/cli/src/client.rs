//! The one way in which the command line talks to a manager.

use crate::events::Events;
use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// Where a manager is when nobody says otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:4200";
const TIMEOUT: Duration = Duration::from_secs(30);

/// How to reach a manager. `cairn lab env` prints both variables.
#[derive(Clone, Debug, clap::Args)]
pub struct Connection {
    /// The manager's address
    #[arg(long, env = "CAIRN_MANAGER", default_value = DEFAULT_URL, global = true, value_name = "URL")]
    manager: String,
    /// The file with the manager's session token, in its working directory
    #[arg(long, env = "CAIRN_TOKEN_FILE", global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// A conversation with one manager.
pub struct Client {
    agent: ureq::Agent,
    url: String,
    token: Zeroizing<String>,
}

impl Connection {
    /// # Errors
    /// When no token is to be had.
    pub fn open(&self) -> Result<Client> {
        let file = self.token_file.as_deref().ok_or_else(|| {
            anyhow!(
                "no session token: name the file `token` in the manager's working directory with --token-file or CAIRN_TOKEN_FILE"
            )
        })?;
        Client::new(&self.manager, file)
    }
}

impl Client {
    /// # Errors
    /// When the token can't be read.
    pub fn new(url: &str, token_file: &Path) -> Result<Self> {
        let token = std::fs::read_to_string(token_file)
            .with_context(|| format!("the session token {} can't be read", token_file.display()))?;
        let agent = ureq::Agent::config_builder()
            .timeout_connect(Some(TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .http_status_as_error(false)
            .build()
            .into();
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { agent, url, token: Zeroizing::new(token.trim().to_owned()) })
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token.as_str())
    }

    fn path(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.url)
    }

    /// # Errors
    /// When the manager does not answer, or refuses in its own words.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let request = self.agent.get(self.path(path)).header("Authorization", self.bearer());
        let mut response = checked(request.call().with_context(|| self.unreachable())?)?;
        response
            .body_mut()
            .read_json()
            .context("the manager's answer was not understood; is it of the same version?")
    }

    /// # Errors
    /// As [`Self::get`].
    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<ureq::http::Response<ureq::Body>> {
        let request = self.agent.post(self.path(path)).header("Authorization", self.bearer());
        checked(request.send_json(body).with_context(|| self.unreachable())?)
    }

    /// Bytes as they are.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn send(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let request = self.agent.post(self.path(path)).header("Authorization", self.bearer());
        checked(request.send(bytes).with_context(|| self.unreachable())?).map(drop)
    }

    /// The answer as it comes.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn read(&self, path: &str) -> Result<impl Read + use<>> {
        let request = self.agent.get(self.path(path)).header("Authorization", self.bearer());
        Ok(checked(request.call().with_context(|| self.unreachable())?)?.into_body().into_reader())
    }

    /// Server-sent events from a path, those after an id.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn events(&self, path: &str, after: Option<&str>) -> Result<Events<impl BufRead + use<>>> {
        let mut request = self.agent.get(self.path(path)).header("Authorization", self.bearer());
        if let Some(id) = after {
            request = request.header("Last-Event-ID", id);
        }
        let response = checked(request.call().with_context(|| self.unreachable())?)?;
        Ok(Events::new(BufReader::new(response.into_body().into_reader())))
    }

    /// # Errors
    /// As [`Self::get`].
    pub fn delete(&self, path: &str) -> Result<()> {
        let request = self.agent.delete(self.path(path)).header("Authorization", self.bearer());
        checked(request.call().with_context(|| self.unreachable())?).map(drop)
    }

    fn unreachable(&self) -> String {
        format!("the manager at {} does not answer; does it run?", self.url)
    }
}

/// A refusal (problem+json, RFC 9457) becomes an error in the manager's words.
fn checked(mut response: ureq::http::Response<ureq::Body>) -> Result<ureq::http::Response<ureq::Body>> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let mut text = String::new();
    response.body_mut().as_reader().take(64 * 1024).read_to_string(&mut text).ok();
    let problem: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let word = |key: &str| problem.get(key).and_then(serde_json::Value::as_str);
    match (word("title"), word("detail")) {
        (Some(title), Some(detail)) if title != detail => bail!("{title}: {detail}"),
        (Some(text), _) | (None, Some(text)) => bail!("{text}"),
        (None, None) => bail!("the manager refused ({status})"),
    }
}
