//! Pictures of a page as owners see it: by day, by night, and on the phone.

use super::Browser;
use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::Client;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

struct Look {
    name: &'static str,
    width: u32,
    scheme: &'static str,
    phone: bool,
}

const LOOKS: [Look; 3] = [
    Look { name: "light", width: 1280, scheme: "light", phone: false },
    Look { name: "dark", width: 1280, scheme: "dark", phone: false },
    Look { name: "phone", width: 390, scheme: "light", phone: true },
];
/// What fits a screen; a longer page is pictured whole.
const HEIGHT: u64 = 900;

impl Browser<'_> {
    /// Where pictures go: they outlive the lab.
    pub fn pictures(&self) -> PathBuf {
        self.world.state.with_file_name("pictures")
    }

    /// The page that is shown now, in every look.
    pub fn picture(&self, name: &str) -> Result<()> {
        let folder = self.pictures();
        std::fs::create_dir_all(&folder)?;
        for look in &LOOKS {
            let path = folder.join(format!("{name}-{}.png", look.name));
            self.with(async |client| take(client, look, &path).await)
                .with_context(|| format!("no picture of {name}, {}", look.name))?;
        }
        self.with(async |client| {
            for command in ["Emulation.clearDeviceMetricsOverride", "Emulation.setEmulatedMedia"] {
                Self::chrome(client, command, json!({})).await?;
            }
            Ok(())
        })
    }
}

async fn take(client: &Client, look: &Look, path: &Path) -> Result<()> {
    let feature = json!([{ "name": "prefers-color-scheme", "value": look.scheme }]);
    Browser::chrome(client, "Emulation.setEmulatedMedia", json!({ "features": feature })).await?;
    let size = async |height: u64| {
        let size =
            json!({ "width": look.width, "height": height, "deviceScaleFactor": 1, "mobile": look.phone });
        Browser::chrome(client, "Emulation.setDeviceMetricsOverride", size).await
    };
    size(HEIGHT).await?;
    let script = "return document.documentElement.scrollHeight";
    let whole = client.execute(script, Vec::new()).await?.as_u64().unwrap_or(HEIGHT);
    size(whole.max(HEIGHT)).await?;
    let picture = Browser::chrome(client, "Page.captureScreenshot", json!({ "format": "png" })).await?;
    let data = picture.get("data").and_then(Value::as_str).context("no picture came")?;
    Ok(std::fs::write(path, STANDARD.decode(data)?)?)
}
