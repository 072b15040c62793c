//! Everything a session needs, built and laid out: the verifier, the test disk
//! driver, the stub DLL that Wine lacks, and the driver under test with the
//! name of its kernel changed to the verifier's.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Error, Options, Products, Result, report::Report, wine::Prefix};

/// The prepared bench.
pub(crate) struct Bench {
    pub(crate) root: PathBuf,
    pub(crate) work: PathBuf,
    pub(crate) products: Products,
    parts: PathBuf,
}

/// `bcryptprimitives.dll`, which Wine 8 lacks and every Rust program for
/// Windows imports for its random numbers.
const RANDOM_STUB: &str = "#include <windows.h>\n\
    BOOLEAN NTAPI SystemFunction036(void *, ULONG);\n\
    __declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE p, SIZE_T n) { return SystemFunction036(p, (ULONG)n); }\n";

fn must(what: &str, command: &mut Command) -> Result<()> {
    let out = command.output().map_err(|e| Error::new(format!("{what}: {e}")))?;
    if out.status.success() {
        return Ok(());
    }
    Err(Error::new(format!("{what} failed: {}", String::from_utf8_lossy(&out.stderr))))
}

/// Points a driver's kernel imports at the verifier: a name of the same length,
/// and nothing else, is changed.
fn retarget(image: &mut [u8]) -> Result<()> {
    const FROM: &[u8] = b"ntoskrnl.exe\0";
    let places: Vec<usize> =
        image.windows(FROM.len()).enumerate().filter(|(_, w)| *w == FROM).map(|(i, _)| i).collect();
    let [at] = places[..] else {
        return Err(Error::new(format!("the driver names ntoskrnl.exe {} times, not once", places.len())));
    };
    image[at..at + FROM.len()].copy_from_slice(b"ntoskrnx.exe\0");
    Ok(())
}

/// Is anything in the source folder newer than what was built from it?
fn stale(built: &Path, sources: &Path) -> Result<bool> {
    let Ok(made) = fs::metadata(built).and_then(|m| m.modified()) else { return Ok(true) };
    for entry in fs::read_dir(sources)? {
        if entry?.metadata()?.modified()? > made {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The `.sys` files in the folder of the miniports, in the order of their names. Of those that misbehave one of each kind of
/// SRB, from either compiler: what they do takes time.
fn miniports(folder: Option<&Path>) -> Result<Vec<PathBuf>> {
    let Some(folder) = folder else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let torture = ["torture-extended-clang.sys", "torture-legacy-mingw.sys"].contains(&&*name);
        if torture || (name.starts_with("plain-") && name.ends_with(".sys")) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

impl Bench {
    /// Builds the bench's own parts.
    pub(crate) fn prepare(options: &Options, report: &mut Report) -> Result<Bench> {
        report.section("Prepare");
        let work = options.work.clone();
        let parts = work.join("parts");
        fs::create_dir_all(&parts)?;
        let wine = options.root.join("tests/e2e/wine");
        if stale(&parts.join("ntoskrnx.exe"), &wine.join("verifier"))? {
            must(
                "building the verifier",
                Command::new("sh").arg(wine.join("verifier/build.sh")).arg(&parts),
            )?;
        }
        // Cheap, and linked to what may just have been built: always.
        must(
            "building the test disk driver",
            Command::new("sh").arg(wine.join("disk/build.sh")).arg(&parts).arg(parts.join("sluicetest.sys")),
        )?;
        must(
            "building the stage drivers",
            Command::new("sh").arg(wine.join("stage/build.sh")).arg(&parts).arg(&parts),
        )?;
        let stub = parts.join("bcryptprimitives.c");
        fs::write(&stub, RANDOM_STUB)?;
        must(
            "building the random number stub",
            Command::new("x86_64-w64-mingw32-gcc")
                .args(["-shared", "-O1", "-o"])
                .arg(parts.join("bcryptprimitives.dll"))
                .arg(stub)
                .arg("-ladvapi32"),
        )?;
        if let Some(driver) = &options.products.driver {
            let mut image = fs::read(driver).map_err(|e| Error::new(format!("{}: {e}", driver.display())))?;
            retarget(&mut image)?;
            fs::write(parts.join("sluice.sys"), image)?;
        }
        for miniport in miniports(options.products.miniports.as_deref())? {
            let mut image = fs::read(&miniport)?;
            // One that needs nothing of the kernel names it not at all.
            let _ = retarget(&mut image);
            fs::write(parts.join(miniport.file_name().unwrap_or_default()), image)?;
        }
        report.say("verifier, test disk driver and the driver under test are ready");
        Ok(Bench { root: options.root.clone(), work, products: options.products.clone(), parts })
    }

    /// A new session: a fresh prefix with everything in its place.
    pub(crate) fn prefix(&self) -> Result<Prefix> {
        let prefix = Prefix::fresh(&self.work.join("prefix-template"), &self.work.join("prefix"))?;
        let system = prefix.drive_c("windows/system32");
        let drivers = prefix.drive_c("drv");
        fs::create_dir_all(&drivers)?;
        let copy = |from: &Path, to: PathBuf| {
            fs::copy(from, to).map(|_| ()).map_err(|e| Error::new(format!("{}: {e}", from.display())))
        };
        for name in ["ntoskrnx.exe", "bcryptprimitives.dll"] {
            copy(&self.parts.join(name), system.join(name))?;
        }
        for name in ["sluicetest.sys", "sluicecount.sys", "sluicestage.sys"] {
            copy(&self.parts.join(name), drivers.join(name))?;
        }
        copy(&self.products.client, drivers.join("e2e-client.exe"))?;
        if self.products.driver.is_some() {
            copy(&self.parts.join("sluice.sys"), drivers.join("sluice.sys"))?;
            copy(&self.products.windows_command, drivers.join("sluice.exe"))?;
        }
        for name in self.miniports()? {
            copy(&self.parts.join(&name), drivers.join(&name))?;
        }
        Ok(prefix)
    }

    /// The names of the miniports in C.
    pub(crate) fn miniports(&self) -> Result<Vec<String>> {
        let paths = miniports(self.products.miniports.as_deref())?;
        Ok(paths.iter().filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    /// A file in the work folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.work.join(name)
    }
}

/// A Linux path as Wine's programs see it.
pub(crate) fn windows_path(path: &Path) -> String {
    format!("Z:{}", path.display().to_string().replace('/', "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retargets_the_one_name_and_nothing_else() {
        let mut image = b"..ntoskrnl.exe\0..".to_vec();
        assert!(retarget(&mut image).is_ok());
        assert_eq!(image, b"..ntoskrnx.exe\0..");
        assert!(retarget(&mut image).is_err());
        assert!(retarget(&mut b"ntoskrnl.exe\0ntoskrnl.exe\0".to_vec()).is_err());
    }

    #[test]
    fn paths_for_windows() {
        assert_eq!(windows_path(Path::new("/a/b c.img")), "Z:\\a\\b c.img");
    }
}
