//! ChromeDriver, and its commands that WebDriver does not have.

use crate::command::{self, Running};
use crate::world::World;
use anyhow::{Context, Result};
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use url::{ParseError, Url};

/// Nothing but pages: no look for updates, accounts or Google's hosts. Chromium's own sandbox does not run as root. What
/// turns stands still: drawn without a GPU, it takes the machines beside it a tenth of a core.
const ARGUMENTS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--force-prefers-reduced-motion",
    "--window-size=1280,900",
];

pub struct Driver {
    running: Running,
    port: u16,
}

impl Driver {
    /// On a port of its own choice.
    pub fn start(world: &World) -> Result<Self> {
        let mut running = command::start(Command::new("chromedriver").arg("--port=0"), &world.scratch)
            .context("the browser's driver: `make setup` installs it")?;
        let port = world.until("chromedriver to listen", Duration::from_secs(30), || {
            let [printed, _] = running.printed()?;
            let text = String::from_utf8_lossy(&printed).into_owned();
            let (_, port) = text.split_once("started successfully on port ").unwrap_or_default();
            let digits: String = port.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().with_context(|| format!("it said: {text}"))
        });
        match port {
            Ok(port) => Ok(Self { running, port }),
            Err(error) => {
                let _ = running.kill();
                Err(error)
            }
        }
    }

    pub async fn session(&self, downloads: &Path) -> Result<Client> {
        let capabilities = json!({
            "browserName": "chrome",
            // a person is warned
            "acceptInsecureCerts": false,
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": {
                "args": ARGUMENTS,
                "prefs": { "download.default_directory": downloads, "download.prompt_for_download": false },
            },
        });
        let capabilities = capabilities.as_object().cloned().unwrap_or_default();
        let address = format!("http://127.0.0.1:{}", self.port);
        let client =
            ClientBuilder::new(HttpConnector::new()).capabilities(capabilities).connect(&address).await;
        client.context("Chromium did not start")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.running.kill();
    }
}

/// A command of ChromeDriver's own, below the session's address.
#[derive(Debug)]
pub struct ChromeCommand {
    path: &'static str,
    body: Value,
}

impl ChromeCommand {
    /// One of the Chrome DevTools protocol.
    pub fn devtools(command: &str, parameters: Value) -> Self {
        Self { path: "goog/cdp/execute", body: json!({ "cmd": command, "params": parameters }) }
    }

    /// What the console has been told since this was last asked.
    pub fn browser_log() -> Self {
        Self { path: "se/log", body: json!({ "type": "browser" }) }
    }
}

impl WebDriverCompatibleCommand for ChromeCommand {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}
