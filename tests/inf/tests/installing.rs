//! Wine's setupapi installs and removes what `sluice.inf` says. It knows no driver store, so the copy under test has
//! folder 12 (drivers) for 13; the store, and `pnputil`, only Windows can show.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const INF: &str = include_str!("../../../inf/sluice.inf");

struct Prefix(tempfile::TempDir);

impl Prefix {
    fn tool(&self, names: &[&str]) -> Command {
        let found = names.iter().find(|name| Path::new(name).exists());
        let found = found.unwrap_or_else(|| panic!("Wine is not installed ({names:?}): run ./x setup"));
        let mut command = Command::new(found);
        command.env("WINEPREFIX", self.0.path()).env("WINEARCH", "win64").env("WINEDEBUG", "-all");
        command.env("WINEDLLOVERRIDES", "mscoree,mshtml=").env_remove("DISPLAY");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) {
        let mut wine = self.tool(&["/usr/lib/wine/wine64", "/usr/bin/wine64", "/usr/bin/wine"]);
        assert!(wine.args(arguments).status().unwrap().success(), "{arguments:?}");
    }

    /// Ends the prefix's server, which writes the registry out.
    fn end(&self) {
        let servers = ["/usr/lib/wine/wineserver64", "/usr/lib/wine/wineserver", "/usr/bin/wineserver"];
        let _ = self.tool(&servers).arg("-k").status();
        let _ = self.tool(&servers).arg("-w").status();
    }

    fn install(&self, section: &str, inf: &Path) {
        let inf = format!("Z:{}", inf.display()).replace('/', "\\");
        self.run(&["rundll32", "setupapi,InstallHinfSection", section, "132", &inf]);
        self.end();
    }

    /// The lines of a key, from the registry's file.
    fn key(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.0.path().join("system.reg")).unwrap();
        let start = format!("[{}]", name.replace('\\', "\\\\")).to_lowercase();
        let mut lines = text.lines().skip_while(|line| !line.to_lowercase().starts_with(&start)).skip(1);
        lines.by_ref().take_while(|line| !line.starts_with('[')).map(str::to_owned).collect()
    }

    fn lower_filters(&self) -> String {
        let class = r"System\CurrentControlSet\Control\Class\{4d36e967-e325-11ce-bfc1-08002be10318}";
        let lines = self.key(class);
        lines.into_iter().find(|line| line.to_lowercase().starts_with("\"lowerfilters\"")).unwrap_or_default()
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        self.end();
    }
}

fn package(folder: &Path) -> PathBuf {
    fs::write(folder.join("sluice.sys"), "not a driver").unwrap();
    let inf = folder.join("sluice.inf");
    let text = INF.replace("DefaultDestDir = 13", "DefaultDestDir = 12").replace("%13%", "%12%");
    fs::write(&inf, text).unwrap();
    inf
}

#[test]
fn installs_beside_other_filters_and_leaves_them() {
    let prefix = Prefix(tempfile::tempdir().unwrap());
    let files = tempfile::tempdir().unwrap();
    let inf = package(files.path());
    prefix.run(&["wineboot", "-i"]);
    let class = r"HKLM\System\CurrentControlSet\Control\Class\{4d36e967-e325-11ce-bfc1-08002be10318}";
    prefix.run(&["reg", "add", class, "/v", "LowerFilters", "/t", "REG_MULTI_SZ", "/d", "other", "/f"]);

    prefix.install("DefaultInstall.NTamd64", &inf);
    let service = prefix.key(r"System\CurrentControlSet\Services\sluice");
    let says = |text: &str| service.iter().any(|line| line.starts_with(text));
    assert!(says("\"Start\"=dword:00000000") && says("\"Type\"=dword:00000001"), "{service:?}");
    assert!(says("\"Group\"=\"PnP Filter\""), "{service:?}");
    assert_eq!(prefix.lower_filters(), r#""LowerFilters"=str(7):"other\0sluice\0""#);
    assert!(prefix.0.path().join("drive_c/windows/system32/drivers/sluice.sys").exists());

    prefix.install("DefaultInstall.NTamd64", &inf);
    assert_eq!(prefix.lower_filters(), r#""LowerFilters"=str(7):"other\0sluice\0""#, "once, however often");

    prefix.install("DefaultUninstall.NTamd64", &inf);
    // Wine 8 takes our name out, but counts the rest in characters where bytes are meant and cuts it short.
    let left = prefix.lower_filters();
    assert!(
        !left.contains("sluice") && left.starts_with("\"LowerFilters\"=hex(7):6f,00,74,00,68,00"),
        "{left}"
    );
}
