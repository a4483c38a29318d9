//! The one way in which the command line talks to a manager.

use crate::events::Events;
use crate::manager::WORK;
use crate::out;
use anyhow::{Context, Result, bail};
use cairn_model::text::one_line;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// Where a manager is when nobody says otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:4200";
const TIMEOUT: Duration = Duration::from_secs(30);
const MISUNDERSTOOD: &str = "the manager's answer was not understood; is it of the same version?";
/// Whoever only wants to know whether there is an answer waits no longer.
const PROMPT: Duration = Duration::from_secs(2);

/// How to reach a manager. `cairn lab env` prints both variables.
#[derive(Clone, Debug, clap::Args)]
pub struct Connection {
    /// The manager's address
    #[arg(long, env = "CAIRN_MANAGER", default_value = DEFAULT_URL, global = true, value_name = "URL", value_parser = plain_url)]
    manager: String,
    /// The file with the manager's session token, in its working directory
    #[arg(long, env = "CAIRN_TOKEN_FILE", global = true, value_name = "FILE", default_value_os_t = Path::new(WORK).join("token"))]
    token_file: PathBuf,
}

/// HTTPS would need the owner's word for the certificate each time; whoever has a shell has SSH.
fn plain_url(url: &str) -> Result<String, String> {
    if url.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("https:")) {
        return Err("the command line does not speak HTTPS, which is for browsers: run it on the manager's machine, or through an SSH tunnel (ssh -L 4200:127.0.0.1:4200 ...)".to_owned());
    }
    Ok(url.to_owned())
}

/// Server-sent events as they come.
pub type Stream = Events<BufReader<ureq::BodyReader<'static>>>;

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
        Client::new(&self.manager, &self.token_file).context(
            "name the file `token` in the manager's working directory with --token-file or CAIRN_TOKEN_FILE",
        )
    }

    /// For what anyone may ask, such as whether a cluster file is open: with the token where there is one.
    pub fn open_if_known(&self) -> Client {
        self.open().unwrap_or_else(|_| Client::with_token(&self.manager, ""))
    }

    pub fn url(&self) -> &str {
        &self.manager
    }
}

/// Whether a manager answers at this address, which needs no token.
///
/// # Errors
/// When it does not, or something else does.
pub fn answers(url: &str) -> Result<()> {
    let url = url.trim_end_matches('/');
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(PROMPT)).build().into();
    agent.get(format!("{url}/healthz")).call().with_context(|| unreachable(url)).map(drop)
}

fn unreachable(url: &str) -> String {
    format!("the manager at {url} does not answer; does it run?")
}

impl Client {
    /// # Errors
    /// When the token can't be read.
    pub fn new(url: &str, token_file: &Path) -> Result<Self> {
        let token = std::fs::read_to_string(token_file)
            .map(Zeroizing::new)
            .with_context(|| format!("the session token {} can't be read", token_file.display()))?;
        Ok(Self::with_token(url, &token))
    }

    fn with_token(url: &str, token: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_connect(Some(TIMEOUT))
            .timeout_recv_response(Some(TIMEOUT))
            .http_status_as_error(false)
            .build()
            .into();
        let url = url.trim_end_matches('/').to_owned();
        Self { agent, url, token: Zeroizing::new(token.trim().to_owned()) }
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token.as_str())
    }

    fn path(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.url)
    }

    /// What the manager answers, for eyes.
    ///
    /// # Errors
    /// When the manager does not answer, or refuses in its own words.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.look(path)?.for_eyes()
    }

    /// # Errors
    /// As [`Self::get`].
    pub fn look(&self, path: &str) -> Result<Answer> {
        let request = self.agent.get(self.path(path)).header("Authorization", self.bearer());
        checked(request.call().with_context(|| self.unreachable())?).map(Answer)
    }

    /// # Errors
    /// As [`Self::get`].
    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer> {
        let request = self.agent.post(self.path(path)).header("Authorization", self.bearer());
        checked(request.send_json(body).with_context(|| self.unreachable())?).map(Answer)
    }

    /// # Errors
    /// As [`Self::get`].
    pub fn put(&self, path: &str, body: &impl Serialize) -> Result<()> {
        let request = self.agent.put(self.path(path)).header("Authorization", self.bearer());
        checked(request.send_json(body).with_context(|| self.unreachable())?).map(drop)
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
        Ok(self.look(path)?.0.into_body().into_reader())
    }

    /// Server-sent events from a path, those after an id.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn events(&self, path: &str, after: Option<&str>) -> Result<Stream> {
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
        unreachable(&self.url)
    }
}

/// What a manager answered. Much of it is what machines say of themselves.
pub struct Answer(ureq::http::Response<ureq::Body>);

impl Answer {
    /// As it came.
    ///
    /// # Errors
    /// When it is not what was expected.
    pub fn exact<T: DeserializeOwned>(self) -> Result<T> {
        let mut response = self.0;
        response.body_mut().read_json().context(MISUNDERSTOOD)
    }

    /// With each text on one line and without what a terminal would take for a command: neither can a machine's
    /// name pretend to be a line of ours.
    ///
    /// # Errors
    /// As [`Self::exact`].
    pub fn for_eyes<T: DeserializeOwned>(self) -> Result<T> {
        let mut value: Value = self.exact()?;
        tame(&mut value);
        serde_json::from_value(value).context(MISUNDERSTOOD)
    }

    /// Prints it: for scripts as it came, else in words.
    ///
    /// # Errors
    /// As [`Self::exact`].
    pub fn print<T: DeserializeOwned + Serialize>(
        self,
        json: bool,
        in_words: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        if json { out::json(&self.exact::<T>()?) } else { out::text(&in_words(&self.for_eyes()?)) }
    }

    /// Bytes, with what the header says of them.
    pub fn response(self) -> ureq::http::Response<ureq::Body> {
        self.0
    }
}

fn tame(value: &mut Value) {
    match value {
        Value::String(text) => *text = one_line(text),
        Value::Array(values) => values.iter_mut().for_each(tame),
        Value::Object(fields) => fields.values_mut().for_each(tame),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// RFC 3986, section 2.3: all but the unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text that stays one part of an address.
pub fn escaped(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

/// A refusal (problem+json, RFC 9457) becomes an error in the manager's words.
fn checked(mut response: ureq::http::Response<ureq::Body>) -> Result<ureq::http::Response<ureq::Body>> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let mut text = String::new();
    response.body_mut().as_reader().take(64 * 1024).read_to_string(&mut text).ok();
    let mut problem: Value = serde_json::from_str(&text).unwrap_or_default();
    tame(&mut problem);
    let word = |key: &str| problem.get(key).and_then(Value::as_str);
    match (word("title"), word("detail")) {
        (Some(title), Some(detail)) if title != detail => bail!("{title}: {detail}"),
        (Some(text), _) | (None, Some(text)) => bail!("{text}"),
        (None, None) => bail!("the manager refused ({status})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_https_is_refused_with_the_way_that_there_is() {
        assert!(plain_url("HTTPS://192.168.1.5:4243").unwrap_err().contains("SSH"));
        assert!(plain_url(DEFAULT_URL).is_ok() && plain_url("").is_ok());
    }

    #[test]
    fn what_is_typed_stays_one_part_of_the_address() {
        assert_eq!(escaped("a/../b?c=d&e f").to_string(), "a%2F..%2Fb%3Fc%3Dd%26e%20f");
    }
}
