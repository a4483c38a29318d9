//! A real browser: headless Chromium, driven over WebDriver (W3C) by its own driver.
//!
//! Every find waits: the page is live, and what was found a moment ago may have been swapped since.

mod driver;
mod looks;

use crate::world::World;
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use driver::{ChromeCommand, Driver};
use fantoccini::{Client, Locator};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Runtime;

const PATIENCE: Duration = Duration::from_secs(30);

pub struct Browser<'a> {
    world: &'a World,
    runtime: Runtime,
    client: RefCell<Option<Client>>,
    page: String,
    downloads: PathBuf,
    _driver: Driver,
}

impl<'a> Browser<'a> {
    /// On the lab's page, with a profile of its own: nobody is logged in.
    pub fn open(world: &'a World, name: &str) -> Result<Self> {
        let page = std::fs::read_to_string(world.state.join("manager/url"))?;
        Self::at(world, name, page.trim())
    }

    /// The same on the page at this address.
    pub fn at(world: &'a World, name: &str, page: &str) -> Result<Self> {
        let page = page.to_owned();
        let downloads = world.scratch.join(name);
        std::fs::create_dir_all(&downloads)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let driver = Driver::start(world)?;
        let client = runtime.block_on(driver.session(&downloads))?;
        let client = RefCell::new(Some(client));
        Ok(Self { world, runtime, client, page, downloads, _driver: driver })
    }

    pub fn downloads(&self) -> &Path {
        &self.downloads
    }

    fn with<T>(&self, ask: impl AsyncFnOnce(&Client) -> Result<T>) -> Result<T> {
        let client = self.client.borrow();
        let client = client.as_ref().context("the browser is closed")?;
        self.runtime.block_on(ask(client))
    }

    /// Asks again until it is so: an element may be swapped between finding and using it.
    fn until<T>(&self, what: &str, patience: Duration, ask: impl AsyncFn(&Client) -> Result<T>) -> Result<T> {
        let outcome = self.world.until(what, patience, || self.with(&ask));
        outcome.with_context(|| format!("the page then: {}", self.told()))
    }

    /// What a person reads on the page, in short.
    fn told(&self) -> String {
        let text =
            self.script("return location.pathname + ': ' + document.body.innerText").unwrap_or_default();
        text.as_str().unwrap_or_default().split_whitespace().take(60).collect::<Vec<_>>().join(" ")
    }

    pub fn goto(&self, path: &str) -> Result<()> {
        let url = format!("{}{path}", self.page);
        self.with(async |client| Ok(client.goto(&url).await?))
    }

    /// Opens a page whose certificate no authority vouches for, and stops at the browser's warning. Gives the
    /// certificate's SHA-256 as browsers show it.
    pub fn is_warned(&self) -> Result<String> {
        // some versions of the driver call the warning an error, some a page
        let _ = self.goto("/");
        let why = self.text("#error-code")?;
        ensure!(why.contains("ERR_CERT_AUTHORITY_INVALID"), "it is another warning: {why}");
        let told = self.text("#error-debugging-info")?;
        let (_, rest) = told.split_once("-----BEGIN CERTIFICATE-----").context("no certificate is shown")?;
        let (pem, _) = rest.split_once("-----END").context("half a certificate is shown")?;
        let der = STANDARD.decode(pem.split_whitespace().collect::<String>())?;
        let pairs: Vec<String> = Sha256::digest(der).iter().map(|byte| format!("{byte:02X}")).collect();
        Ok(pairs.join(":"))
    }

    /// As a person who has compared the fingerprint does.
    pub fn goes_on(&self) -> Result<()> {
        self.click("#details-button")?;
        self.click("#proceed-link")
    }

    pub fn reload(&self) -> Result<()> {
        self.with(async |client| Ok(client.refresh().await?))
    }

    /// Waits until the page is at this path.
    pub fn is_at(&self, path: &str) -> Result<()> {
        self.until(&format!("the page {path}"), PATIENCE, async |client| {
            let url = client.current_url().await?;
            ensure!(url.path() == path, "it is {}", url.path());
            Ok(())
        })
    }

    pub fn fill(&self, css: &str, text: &str) -> Result<()> {
        self.until(&format!("the field {css}"), PATIENCE, async |client| {
            let field = client.find(Locator::Css(css)).await?;
            field.clear().await?;
            Ok(field.send_keys(text).await?)
        })
    }

    /// As a paste does: at once, which 6,000 typed characters are not.
    pub fn paste(&self, css: &str, text: &str) -> Result<()> {
        let script = "const field = document.querySelector(arguments[0]); field.value = arguments[1];
            field.dispatchEvent(new Event('input', { bubbles: true }))";
        self.with(async |client| Ok(client.execute(script, vec![json!(css), json!(text)]).await.map(drop)?))
    }

    pub fn click(&self, css: &str) -> Result<()> {
        self.until(&format!("{css} to be clicked"), PATIENCE, async |client| {
            Ok(client.find(Locator::Css(css)).await?.click().await?)
        })
    }

    /// The button with just this word on it.
    pub fn press(&self, word: &str) -> Result<()> {
        let path = format!("//button[normalize-space()='{word}']");
        self.until(&format!("the button '{word}'"), PATIENCE, async |client| {
            Ok(client.find(Locator::XPath(&path)).await?.click().await?)
        })
    }

    pub fn choose(&self, css: &str, value: &str) -> Result<()> {
        self.until(&format!("'{value}' in {css}"), PATIENCE, async |client| {
            Ok(client.find(Locator::Css(css)).await?.select_by_value(value).await?)
        })
    }

    /// The text of an element, also of one that is folded in.
    pub fn text(&self, css: &str) -> Result<String> {
        self.until(&format!("the text of {css}"), PATIENCE, async |client| {
            let text = client.find(Locator::Css(css)).await?.prop("textContent").await?;
            text.map(|text| text.trim().to_owned()).context("it has none")
        })
    }

    /// One attribute of all elements that there are now.
    pub fn attributes(&self, css: &str, name: &str) -> Result<Vec<String>> {
        let script =
            "return [...document.querySelectorAll(arguments[0])].map(it => it.getAttribute(arguments[1]))";
        let found =
            self.with(async |client| Ok(client.execute(script, vec![json!(css), json!(name)]).await?))?;
        Ok(serde_json::from_value(found)?)
    }

    /// Waits until an element says this, without touching the page: what changes came by itself.
    pub fn reads(&self, css: &str, words: &str, patience: Duration) -> Result<()> {
        self.until(&format!("{css} to say '{words}'"), patience, async |client| {
            let script =
                "return [...document.querySelectorAll(arguments[0])].map(it => it.innerText).join(' / ')";
            let text = client.execute(script, vec![json!(css)]).await?;
            let text = text.as_str().unwrap_or_default();
            ensure!(text.contains(words), "it says '{text}'");
            Ok(())
        })
    }

    pub fn script(&self, script: &str) -> Result<Value> {
        self.with(async |client| Ok(client.execute(script, Vec::new()).await?))
    }

    async fn chrome(client: &Client, command: &str, parameters: Value) -> Result<Value> {
        Ok(client.issue_cmd(ChromeCommand::devtools(command, parameters)).await?)
    }

    /// What the browser itself found wrong with the pages so far. That a refused passphrase is answered by 403 is no fault.
    pub fn has_no_complaint(&self) -> Result<()> {
        let told = self.with(async |client| Ok(client.issue_cmd(ChromeCommand::browser_log()).await?))?;
        let entries = told.as_array().context("the browser gave no log")?;
        let field =
            |entry: &Value, name| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let grave = |entry: &Value| ["SEVERE", "WARNING"].contains(&field(entry, "level").as_str());
        let wrong = |entry: &&Value| grave(entry) && field(entry, "source") != "network";
        let wrong: Vec<String> = entries.iter().filter(wrong).map(Value::to_string).collect();
        ensure!(wrong.is_empty(), "the browser complains: {}", wrong.join("; "));
        let script = "return performance.getEntriesByType('resource').map(it => it.name)";
        let fetched: Vec<String> = serde_json::from_value(self.script(script)?)?;
        let foreign: Vec<&String> = fetched.iter().filter(|url| !url.starts_with(&self.page)).collect();
        ensure!(foreign.is_empty(), "the page fetched from elsewhere: {foreign:?}");
        Ok(())
    }
}

impl Drop for Browser<'_> {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // Chromium ends with its session; a driver that is killed would leave it behind.
            let _ = self.runtime.block_on(client.close());
        }
    }
}
