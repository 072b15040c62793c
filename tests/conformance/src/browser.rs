//! A real browser looks at a page: headless Chromium.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::run;

/// What a browser made of a page.
pub struct Seen {
    /// The document, as it stands when everything has been loaded.
    pub dom: String,
    /// What it had to complain about.
    pub console: Vec<String>,
    /// What was asked for over a network.
    pub requests: Vec<String>,
}

/// Ends by itself, whatever the page does; keeps what it writes in a folder.
fn chromium(folder: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["60", "chromium-headless-shell", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]);
    command.arg(format!("--user-data-dir={}", folder.join("browser").display()));
    command
}

fn address(page: &Path) -> String {
    format!("file://{}", page.display())
}

/// Opens a page.
pub fn look(page: &Path) -> Seen {
    let folder = page.parent().unwrap_or(page);
    let log = folder.join("net-log.json");
    let mut command = chromium(folder);
    command.args(["--enable-logging=stderr", "--dump-dom"]);
    command.arg(format!("--log-net-log={}", log.display())).arg(address(page));
    let output = run(&mut command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let console = said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    let log = fs::read(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    let log: Value = serde_json::from_slice(&log).unwrap_or_else(|error| panic!("the network log: {error}"));
    let events = log["events"].as_array().unwrap_or_else(|| panic!("the network log has no events"));
    let addresses = events.iter().filter_map(|event| event["params"]["url"].as_str());
    let requests = addresses.filter(|url| !url.starts_with("file:") && !url.starts_with("data:"));
    let requests = requests.map(str::to_owned).collect();
    Seen { dom: String::from_utf8_lossy(&output.stdout).into_owned(), console, requests }
}

/// A picture of a page, for people who like it dark or light: red, green and blue of each dot.
pub fn picture(page: &Path, dark: bool) -> Vec<[u8; 3]> {
    let folder = page.parent().unwrap_or(page);
    let file = folder.join("picture.png");
    let _ = fs::remove_file(&file);
    let mut command = chromium(folder);
    // Chromium's numbers: 0 is dark, 1 is light.
    command.arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!dark)));
    command.arg("--window-size=1000,2000").arg(format!("--screenshot={}", file.display()));
    run(command.arg(address(page)));
    let file = fs::File::open(&file).unwrap_or_else(|error| panic!("no picture: {error}"));
    let mut reader = png::Decoder::new(std::io::BufReader::new(file))
        .read_info()
        .unwrap_or_else(|error| panic!("the picture: {error}"));
    let mut bytes = vec![0; reader.output_buffer_size().unwrap_or(0)];
    let frame = reader.next_frame(&mut bytes).unwrap_or_else(|error| panic!("the picture: {error}"));
    let dots = bytes[..frame.buffer_size()].chunks_exact(frame.color_type.samples());
    dots.map(|dot| [dot[0], dot[1], dot[2]]).collect()
}
